"""Which models are offered, and a chat with one over the wire."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError

from caret.providers import Catalogue
from caret.providers.model_list import KNOWN, MAX_MODELS_FILE_BYTES

from .helpers import FakeProvider, completion, failure, pieces

KEY = SecretStr("sk-very-secret")
BUILT_IN_GATEWAY = "caret/extractive"


def ids(catalogue: Catalogue, gateway: str) -> list[str]:
    return [card.id for card in catalogue.cards if card.gateway == gateway]


def test_a_catalogue_imports_no_library_of_a_model() -> None:
    program = """if True:
        import sys, caret.providers
        caret.providers.Catalogue(llm_base_url="http://gpu.internal/v1", llm_model="qwen", openai_api_key=None)
        caret.providers.Embedders(caret.providers.EmbeddingOptions("http://gpu.internal/v1", None, "bge"))
        caret.providers.build_transcriber(base_url="http://gpu.internal/v1", model="whisper")
        heavy = {"pydantic_ai", "openai", "onnxruntime", "numpy", "tokenizers"} & set(sys.modules)
        sys.exit(str(heavy) if heavy else 0)"""
    subprocess.run([sys.executable, "-c", program], check=True)


async def test_warming_builds_what_the_default_needs() -> None:
    catalogue = Catalogue(llm_base_url="http://gpu.internal/v1", llm_model="qwen", llm_fallbacks=[BUILT_IN_GATEWAY])
    catalogue.preload()
    assert sorted(catalogue._models) == [BUILT_IN_GATEWAY, "qwen"]
    assert catalogue.model("qwen") is catalogue.model("qwen")
    await catalogue.aclose()


async def test_with_nothing_configured_only_the_built_in_model_is_offered() -> None:
    catalogue = Catalogue()
    assert [card.id for card in catalogue.cards] == [BUILT_IN_GATEWAY]
    assert catalogue.default_id == BUILT_IN_GATEWAY
    assert catalogue.model(BUILT_IN_GATEWAY).model_name == BUILT_IN_GATEWAY
    with pytest.raises(KeyError):
        catalogue.model("openai/gpt-6-luna")


async def test_a_key_opens_its_gateway_only() -> None:
    catalogue = Catalogue(openrouter_api_key=KEY)
    assert ids(catalogue, "openrouter") == [card.id for card in KNOWN if card.gateway == "openrouter"]
    assert ids(catalogue, "openai") == []
    assert catalogue.cards[-1].id == BUILT_IN_GATEWAY
    assert catalogue.default_id == catalogue.cards[0].id
    await catalogue.aclose()


async def test_openai_gets_requests_of_the_responses_api_and_stores_nothing() -> None:
    catalogue = Catalogue(openai_api_key=KEY, llm_model="gpt-6.1-terra")
    assert catalogue.default_id == "gpt-6.1-terra"
    model = catalogue.model("gpt-6.1-terra")
    assert type(model).__name__ == "OpenAIResponsesModel"
    assert (model.settings or {}).get("openai_store") is False
    proxied = Catalogue(openai_api_key=KEY, openai_base_url="http://proxy.internal/v1")
    assert type(proxied.model("gpt-6.1-terra")).__name__ == "OpenAIChatModel"
    for built in (catalogue, proxied):
        await built.aclose()


async def test_the_configured_model_comes_first_and_is_the_default() -> None:
    catalogue = Catalogue(llm_base_url="http://gpu.internal/v1", llm_model="my/finetune", openai_api_key=KEY)
    first = catalogue.cards[0]
    assert (first.id, first.provider, first.gateway) == ("my/finetune", "my", "openai-compatible")
    assert first.context_window == 32_768
    assert catalogue.default_id == "my/finetune"
    assert len(ids(catalogue, "openai")) > 0
    await catalogue.aclose()


async def test_a_known_model_keeps_its_card_wherever_it_runs() -> None:
    at_home = Catalogue(llm_base_url="https://openrouter.ai/api/v1", llm_api_key=KEY, llm_model="openai/gpt-6-luna")
    assert at_home.cards[0] in KNOWN
    elsewhere = Catalogue(llm_base_url="http://gpu.internal/v1", llm_model="google/gemma-4-31b-it:free")
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
        ({"llm_fallbacks": ("gpt-6-luna",)}, "CARET_LLM_FALLBACKS names 'gpt-6-luna', which no configured gateway"),
    ],
)
def test_contradictions_are_refused_in_one_line(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refused:
        Catalogue(**arguments)
    assert "\n" not in str(refused.value)


def test_the_chain_is_the_model_and_then_the_fallbacks() -> None:
    alone = Catalogue(openai_api_key=KEY)
    assert alone.chain("gpt-6-luna") == ("gpt-6-luna",)
    chained = Catalogue(openai_api_key=KEY, llm_fallbacks=["gpt-6.1-sol", BUILT_IN_GATEWAY])
    assert chained.chain("gpt-6-luna") == ("gpt-6-luna", "gpt-6.1-sol", BUILT_IN_GATEWAY)
    assert chained.chain("gpt-6.1-sol") == ("gpt-6.1-sol", BUILT_IN_GATEWAY)
    assert chained.chain(BUILT_IN_GATEWAY) == (BUILT_IN_GATEWAY,)
    with pytest.raises(KeyError):
        chained.chain("qwen")


def entry(model_id: str, gateway: str, **more: Any) -> dict[str, Any]:
    return {"id": model_id, "name": "N", "provider": "P", "gateway": gateway, "context_window": 1000, **more}


def test_a_file_adds_models_and_replaces_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    entries = [
        entry("gpt-6-luna", "openai", name="Ours"),
        entry("gpt-7", "openai", is_free=True, is_stealth=True, description="New."),
        entry("llama", "openai-compatible"),
        entry("x/y", "openrouter"),
    ]
    file.write_text(json.dumps(entries))
    catalogue = Catalogue(llm_base_url="http://gpu.internal/v1", llm_model="qwen", openai_api_key=KEY, models_file=file)
    assert [card.id for card in catalogue.cards] == [
        *("qwen", "llama", "gpt-6-luna", "gpt-6.1-terra", "gpt-6.1-sol", "gpt-7", BUILT_IN_GATEWAY)
    ]
    cards = {card.id: card for card in catalogue.cards}
    assert (cards["gpt-6-luna"].name, cards["gpt-6-luna"].context_window) == ("Ours", 1000)
    assert (cards["gpt-7"].is_free, cards["gpt-7"].is_stealth, cards["gpt-7"].description) == (True, True, "New.")
    assert cards["llama"].gateway == "openai-compatible"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, " can't be read: No such file or directory."),
        ("[", ": Invalid JSON: EOF while parsing a list at line 1 column 1."),
        ("{}", ": Input should be a valid array."),
        ([entry("a", "openai"), {"id": "b"}], ": entry 2: name: Field required."),
        ([entry("a", "azure")], ": entry 1: gateway: Input should be 'openai', 'openrouter' or 'openai-compatible'."),
        ([entry("a", "openai", context_window="1")], ": entry 1: context_window: Input should be a valid integer."),
        ([entry("a", "openai", context_window=0)], ": entry 1: context_window: Input should be greater than or equal"),
        ([entry("a b", "openai")], ": entry 1: id: String should match pattern"),
        ([entry("a,b", "openai")], ": entry 1: id: String should match pattern"),
        ([entry("a", "openai", colour="red")], ": entry 1: colour: Extra inputs are not permitted."),
        ([entry("a", "openai"), entry("a", "openrouter")], ": entry 2: id: 'a' is used twice."),
        (" " * (MAX_MODELS_FILE_BYTES + 1), " is larger than 1 MiB."),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, content: Any, complaint: str) -> None:
    file = tmp_path / "models.json"
    if content is not None:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match="CARET_MODELS_FILE") as refused:
        Catalogue(models_file=file)
    assert str(refused.value).startswith(f"CARET_MODELS_FILE: {file}{complaint}")
    assert "\n" not in str(refused.value)


def test_tokens_are_estimated_from_bytes() -> None:
    catalogue = Catalogue()
    assert catalogue.count_tokens(BUILT_IN_GATEWAY, "") == 0
    assert catalogue.count_tokens("a model of the past", "Hello, world!") == 4
    assert catalogue.count_tokens(BUILT_IN_GATEWAY, "会議\ud800") == 2


async def test_a_compatible_server_streams_through_the_catalogue(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-someone-else")
    provider.answer = completion(["Hel", "lo ", "there"], usage=(11, 3))
    catalogue = Catalogue(llm_base_url=provider.url, llm_api_key=KEY, llm_model="qwen")
    agent = Agent(catalogue.model(catalogue.default_id), instructions="Be kind.")
    assert await pieces(agent, "Hello") == ["Hel", "lo ", "there"]
    headers, body = provider.calls[0]
    assert headers["authorization"] == "Bearer sk-very-secret"
    assert "openai-organization" not in headers
    assert (body["model"], body["stream"], body["stream_options"]) == ("qwen", True, {"include_usage": True})
    await catalogue.aclose()


async def test_a_refusal_keeps_its_status_and_hides_the_key(provider: FakeProvider) -> None:
    provider.answer = failure(401, message="Bad key.")
    catalogue = Catalogue(llm_base_url=provider.url, llm_api_key=KEY, llm_model="qwen")
    with pytest.raises(ModelHTTPError) as refused:
        await Agent(catalogue.model("qwen")).run("Hello")
    assert refused.value.status_code == 401
    assert KEY.get_secret_value() not in repr(catalogue.model("qwen")) + str(refused.value)
    await catalogue.aclose()
