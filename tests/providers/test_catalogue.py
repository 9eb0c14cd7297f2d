"""Which models are offered, and a chat with one over the wire."""

import subprocess
import sys

import pytest
from pydantic import SecretStr
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta

from caret.providers import Catalogue, build_models
from caret.providers.catalogue import KNOWN

from .helpers import FakeProvider, completion, failure

KEY = SecretStr("sk-very-secret")
BUILT_IN = "caret/extractive"


def ids(catalogue: Catalogue, gateway: str) -> list[str]:
    return [card.id for card in catalogue.cards if card.gateway == gateway]


def test_importing_the_builders_imports_no_library_of_a_model() -> None:
    heavy = "{'pydantic_ai', 'openai', 'onnxruntime'}"
    program = (
        f"import sys, caret.providers; sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


async def test_with_nothing_configured_only_the_built_in_model_is_offered() -> None:
    catalogue = build_models()
    assert [card.id for card in catalogue.cards] == [BUILT_IN]
    assert catalogue.default_id == BUILT_IN
    assert catalogue.model(BUILT_IN).model_name == BUILT_IN
    with pytest.raises(KeyError):
        catalogue.model("openai/gpt-6-luna")


async def test_a_key_opens_its_gateway_only() -> None:
    catalogue = build_models(openrouter_api_key=KEY)
    assert ids(catalogue, "openrouter") == [card.id for card in KNOWN if card.gateway == "openrouter"]
    assert ids(catalogue, "openai") == []
    assert catalogue.cards[-1].id == BUILT_IN
    assert catalogue.default_id == catalogue.cards[0].id
    await catalogue.aclose()


async def test_openai_itself_is_asked_by_responses_and_stores_nothing() -> None:
    catalogue = build_models(openai_api_key=KEY, llm_model="gpt-6.1-terra")
    assert catalogue.default_id == "gpt-6.1-terra"
    model = catalogue.model("gpt-6.1-terra")
    assert type(model).__name__ == "OpenAIResponsesModel"
    assert (model.settings or {}).get("openai_store") is False
    proxied = build_models(openai_api_key=KEY, openai_base_url="http://proxy.internal/v1")
    assert type(proxied.model("gpt-6.1-terra")).__name__ == "OpenAIChatModel"
    for built in (catalogue, proxied):
        await built.aclose()


async def test_the_configured_model_comes_first_and_is_the_default() -> None:
    catalogue = build_models(llm_base_url="http://gpu.internal/v1", llm_model="my/finetune", openai_api_key=KEY)
    first = catalogue.cards[0]
    assert (first.id, first.provider, first.gateway) == ("my/finetune", "my", "openai-compatible")
    assert first.context_window == 32_768
    assert catalogue.default_id == "my/finetune"
    assert len(ids(catalogue, "openai")) > 0
    await catalogue.aclose()


async def test_a_known_model_keeps_its_card_wherever_it_runs() -> None:
    at_home = build_models(llm_base_url="https://openrouter.ai/api/v1", llm_api_key=KEY, llm_model="openai/gpt-6-luna")
    assert at_home.cards[0] in KNOWN
    elsewhere = build_models(llm_base_url="http://gpu.internal/v1", llm_model="google/gemma-4-31b-it:free")
    card = elsewhere.cards[0]
    assert (card.context_window, card.gateway, card.is_free) == (262_144, "openai-compatible", False)
    for built in (at_home, elsewhere):
        await built.aclose()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"llm_base_url": "http://gpu.internal/v1"}, "CARET_LLM_MODEL"),
        ({"llm_model": "gpt-6-luna"}, "CARET_LLM_BASE_URL"),
        ({"llm_base_url": "gpu.internal", "llm_model": "x"}, "http://"),
    ],
)
def test_contradictions_are_refused_in_one_line(arguments: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refused:
        Catalogue(llm_base_url=arguments.get("llm_base_url"), llm_model=arguments.get("llm_model"))
    assert "\n" not in str(refused.value)


def test_tokens_are_estimated_from_bytes() -> None:
    catalogue = Catalogue()
    assert catalogue.count_tokens(BUILT_IN, "") == 0
    assert catalogue.count_tokens("a model of the past", "Hello, world!") == 4
    assert catalogue.count_tokens(BUILT_IN, "会議\ud800") == 2


async def ask(catalogue: Catalogue) -> tuple[list[str], int, int]:
    """The pieces of the answer to "Hello", and the usage."""
    pieces = []
    agent = Agent(catalogue.model(catalogue.default_id), instructions="Be kind.")
    async with agent.run_stream_events("Hello") as events:
        async for event in events:
            if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                pieces.append(event.part.content)
            elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                pieces.append(event.delta.content_delta)
        return pieces, events.usage.input_tokens, events.usage.output_tokens


async def test_a_compatible_server_streams_through_the_catalogue(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-someone-else")
    provider.answer = completion(["Hel", "lo ", "there"], usage=(11, 3))
    catalogue = build_models(llm_base_url=provider.url, llm_api_key=KEY, llm_model="qwen")
    assert await ask(catalogue) == (["Hel", "lo ", "there"], 11, 3)
    headers, body = provider.calls[0]
    assert headers["authorization"] == "Bearer sk-very-secret"
    assert "openai-organization" not in headers
    assert (body["model"], body["stream"], body["stream_options"]) == ("qwen", True, {"include_usage": True})
    await catalogue.aclose()


async def test_a_refusal_keeps_its_status_and_hides_the_key(provider: FakeProvider) -> None:
    provider.answer = failure(401, message="Bad key.")
    catalogue = build_models(llm_base_url=provider.url, llm_api_key=KEY, llm_model="qwen")
    with pytest.raises(ModelHTTPError) as refused:
        await Agent(catalogue.model("qwen")).run("Hello")
    assert refused.value.status_code == 401
    assert KEY.get_secret_value() not in repr(catalogue.model("qwen")) + str(refused.value)
    await catalogue.aclose()
