"""Asking again: which failures are worth it, how long is waited, and who is asked next."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from pydantic_ai import Agent, UsageLimits
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, ModelRateLimitError

from caret.providers import Catalogue
from resolvers.agents import retries
from resolvers.agents.retries import pause, try_models
from resolvers.core.ports.agents import DEFAULT_FAILURE_TEXT, ReplyFailed
from resolvers.core.ports.ai import text_listener
from tests.providers.conftest import provider, server
from tests.providers.helpers import Answer, FakeProvider, completion, delta, failure, raw, sse

__all__ = ["provider", "server"]

SECRET = SecretStr("sk-secret")
FINE = completion(["Fi", "ne"], None)
OTHER = "gpt-6-luna"


@pytest_asyncio.fixture
async def catalogue(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Catalogue]:
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.001)
    made = Catalogue(
        llm_base_url=provider.url,
        llm_model="qwen",
        openai_base_url=provider.url,
        openai_api_key=SECRET,
        llm_fallbacks=[OTHER],
        llm_silence=0.2,
    )
    yield made
    await made.aclose()


async def asked(catalogue: Catalogue, *chain: str, limits: UsageLimits | None = None) -> str:
    """What is heard of an answer, and who gave it."""
    heard: list[str] = []

    async def hear(*pieces: str) -> None:
        heard.extend(pieces)

    async def attempt(model_id: str) -> str:
        agent = Agent(catalogue.model(model_id))

        @agent.tool_plain
        def look() -> str:
            return "nothing"

        await agent.run("Hello", usage_limits=limits)
        return model_id

    listening = text_listener.set(hear)
    try:
        by = await try_models(chain or catalogue.chain("qwen"), lambda: not heard, attempt)
    except ReplyFailed as failed:
        return f"{''.join(heard)} | {failed.reason}"
    finally:
        text_listener.reset(listening)
    return f"{''.join(heard)} | {by}"


def models(provider: FakeProvider) -> list[str]:
    return [body["model"] for _, body in provider.calls]


@pytest.mark.parametrize(
    "passing",
    [
        failure(429),
        failure(429, {"retry-after": "0"}),
        failure(503),
        failure(529),
        failure(500),
        failure(408),
        raw(ending="drop"),
        raw(ending="stall"),
        raw(sse({"error": {"message": "Overloaded", "code": 529}})),
        raw(b"data: {\n\n"),
        raw(sse(delta(role="assistant", content=""))),
    ],
)
async def test_what_may_pass_is_tried_again(provider: FakeProvider, catalogue: Catalogue, passing: Answer) -> None:
    provider.answers = [passing, passing, FINE]
    assert await asked(catalogue) == "Fine | qwen"
    assert models(provider) == ["qwen"] * 3


@pytest.mark.parametrize(
    "lasting",
    [
        failure(401),
        failure(403),
        failure(404),
        failure(400),
        failure(402),
        failure(418),
        failure(400, code="context_length_exceeded"),
        failure(429, code="insufficient_quota"),
        failure(429, {"retry-after": "6"}),
        failure(503, {"retry-after-ms": "5001"}),
        raw(sse(delta(refusal="No."), delta("stop"))),
    ],
)
async def test_what_lasts_goes_to_the_next_model_at_once(
    provider: FakeProvider, catalogue: Catalogue, lasting: Answer
) -> None:
    provider.answers = [lasting, FINE]
    assert await asked(catalogue) == f"Fine | {OTHER}"
    assert models(provider) == ["qwen", OTHER]


async def test_a_model_has_three_attempts_and_then_the_next_one_has(
    provider: FakeProvider, catalogue: Catalogue
) -> None:
    provider.answers = [failure(500)] * 5 + [FINE]
    assert await asked(catalogue) == f"Fine | {OTHER}"
    assert models(provider) == ["qwen"] * 3 + [OTHER] * 3


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (failure(429), retries.BUSY),
        (failure(503), retries.BUSY),
        (raw(ending="drop"), retries.UNREACHABLE),
        (failure(401), retries.REFUSED),
        (failure(402), retries.REFUSED),
        (raw(sse(delta(refusal="No."), delta("stop"))), retries.REFUSED),
        (failure(400, code="context_length_exceeded"), retries.TOO_LONG),
        (failure(500), DEFAULT_FAILURE_TEXT),
        (failure(418), DEFAULT_FAILURE_TEXT),
        (raw(sse({"error": "Out of memory"})), DEFAULT_FAILURE_TEXT),
    ],
)
async def test_nobody_answers(provider: FakeProvider, catalogue: Catalogue, answer: Answer, told: str) -> None:
    provider.answer = answer
    assert await asked(catalogue) == f" | {told}"


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (raw(sse(delta(content="So ")), ending="drop"), retries.UNREACHABLE),
        (raw(sse(delta(content="So ")), ending="stall"), retries.UNREACHABLE),
        (raw(sse(delta(content="So "), {"error": {"code": 429, "message": "Slow"}})), retries.BUSY),
        (raw(sse(delta(content="So ")), b"data: {\n\n"), DEFAULT_FAILURE_TEXT),
    ],
)
async def test_nothing_is_tried_once_a_word_was_heard(
    provider: FakeProvider, catalogue: Catalogue, after: Answer, told: str
) -> None:
    provider.answers = [after]
    assert await asked(catalogue) == f"So  | {told}"
    assert models(provider) == ["qwen"]


async def test_too_many_steps_are_not_tried_again(provider: FakeProvider, catalogue: Catalogue) -> None:
    function = {"name": "look", "arguments": "{}"}
    call = delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": function}])
    provider.answer = raw(sse(call, delta("tool_calls")))
    assert await asked(catalogue, limits=UsageLimits(request_limit=2)) == f" | {retries.TOO_MANY_STEPS}"
    assert models(provider) == ["qwen"] * 2


async def test_a_model_that_took_its_time_is_not_asked_again(
    provider: FakeProvider, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_RETRY_SECONDS", 0.1)
    provider.answers = [raw(ending="stall"), FINE]
    assert await asked(catalogue) == f"Fine | {OTHER}"
    assert models(provider) == ["qwen", OTHER]


async def test_what_is_no_failure_of_a_model_passes_through() -> None:
    async def attempt(_model_id: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await try_models(["qwen", OTHER], lambda: True, attempt)


async def test_whoever_cancels_ends_the_pause(provider: FakeProvider, catalogue: Catalogue) -> None:
    provider.answers = [failure(429, {"retry-after": "5"})]
    asking = asyncio.create_task(asked(catalogue))
    while not provider.calls:
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert models(provider) == ["qwen"]


def limited(retry_after: float | None) -> ModelAPIError:
    return ModelRateLimitError("qwen", "Slow down.", retry_after=retry_after)


def test_pauses_grow_and_honour_the_provider() -> None:
    first, second = ([pause(limited(None), number) or 0.0 for _ in range(100)] for number in (1, 2))
    assert 0.25 <= min(first) < max(first) <= 0.75
    assert 0.5 <= min(second) < max(second) <= 1.5
    assert pause(limited(None), retries.ATTEMPTS) is None
    assert pause(limited(retries.MAX_PAUSE_SECONDS), 1) == retries.MAX_PAUSE_SECONDS
    assert pause(limited(retries.MAX_PAUSE_SECONDS + 0.1), 1) is None
    assert pause(ModelHTTPError(418, "qwen"), 1) is None


def test_no_reason_quotes_the_provider() -> None:
    secret: Any = {"message": "Incorrect API key: sk-1234"}
    assert retries.reason(ModelHTTPError(418, "qwen", secret)) == DEFAULT_FAILURE_TEXT
