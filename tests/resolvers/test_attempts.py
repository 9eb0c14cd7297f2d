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
from resolvers.core.ports.agents import DEFAULT_FAILURE_TEXT, AgentFailed
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
    built = Catalogue(
        llm_base_url=provider.url,
        llm_model="qwen",
        openai_base_url=provider.url,
        openai_api_key=SECRET,
        llm_fallbacks=[OTHER],
        llm_silence=0.2,
    )
    yield built
    await built.aclose()


async def answer_of(catalogue: Catalogue, *chain: str, limits: UsageLimits | None = None) -> str:
    """What is heard of an answer, and who gave it."""
    received: list[str] = []

    async def listen(*pieces: str) -> None:
        received.extend(pieces)

    async def attempt(model_id: str) -> str:
        agent = Agent(catalogue.model(model_id))

        @agent.tool_plain
        def look() -> str:
            return "nothing"

        await agent.run("Hello", usage_limits=limits)
        return model_id

    listening = text_listener.set(listen)
    try:
        by = await try_models(chain or catalogue.chain("qwen"), lambda: not received, attempt)
    except AgentFailed as failed:
        return f"{''.join(received)} | {failed.reason}"
    finally:
        text_listener.reset(listening)
    return f"{''.join(received)} | {by}"


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
async def test_transient_failures_are_retried(provider: FakeProvider, catalogue: Catalogue, passing: Answer) -> None:
    provider.answers = [passing, passing, FINE]
    assert await answer_of(catalogue) == "Fine | qwen"
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
async def test_lasting_failures_go_to_the_next_model_at_once(
    provider: FakeProvider, catalogue: Catalogue, lasting: Answer
) -> None:
    provider.answers = [lasting, FINE]
    assert await answer_of(catalogue) == f"Fine | {OTHER}"
    assert models(provider) == ["qwen", OTHER]


async def test_a_model_has_three_attempts_and_then_the_next_one_has(
    provider: FakeProvider, catalogue: Catalogue
) -> None:
    provider.answers = [failure(500)] * 5 + [FINE]
    assert await answer_of(catalogue) == f"Fine | {OTHER}"
    assert models(provider) == ["qwen"] * 3 + [OTHER] * 3


@pytest.mark.parametrize(
    ("answer", "text"),
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
async def test_a_reply_fails_if_no_model_answers(
    provider: FakeProvider, catalogue: Catalogue, answer: Answer, text: str
) -> None:
    provider.answer = answer
    assert await answer_of(catalogue) == f" | {text}"


@pytest.mark.parametrize(
    ("after", "text"),
    [
        (raw(sse(delta(content="So ")), ending="drop"), retries.UNREACHABLE),
        (raw(sse(delta(content="So ")), ending="stall"), retries.UNREACHABLE),
        (raw(sse(delta(content="So "), {"error": {"code": 429, "message": "Slow"}})), retries.BUSY),
        (raw(sse(delta(content="So ")), b"data: {\n\n"), DEFAULT_FAILURE_TEXT),
    ],
)
async def test_nothing_is_retried_once_text_was_published(
    provider: FakeProvider, catalogue: Catalogue, after: Answer, text: str
) -> None:
    provider.answers = [after]
    assert await answer_of(catalogue) == f"So  | {text}"
    assert models(provider) == ["qwen"]


async def test_too_many_steps_are_not_retried(provider: FakeProvider, catalogue: Catalogue) -> None:
    function = {"name": "look", "arguments": "{}"}
    call = delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": function}])
    provider.answer = raw(sse(call, delta("tool_calls")))
    assert await answer_of(catalogue, limits=UsageLimits(request_limit=2)) == f" | {retries.TOO_MANY_STEPS}"
    assert models(provider) == ["qwen"] * 2


async def test_a_slow_failure_is_not_retried(
    provider: FakeProvider, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_RETRY_SECONDS", 0.1)
    provider.answers = [raw(ending="stall"), FINE]
    assert await answer_of(catalogue) == f"Fine | {OTHER}"
    assert models(provider) == ["qwen", OTHER]


async def test_other_errors_pass_through() -> None:
    async def attempt(_model_id: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await try_models(["qwen", OTHER], lambda: True, attempt)


async def test_a_cancel_ends_the_pause(provider: FakeProvider, catalogue: Catalogue) -> None:
    provider.answers = [failure(429, {"retry-after": "5"})]
    task = asyncio.create_task(answer_of(catalogue))
    while not provider.calls:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
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


def test_failure_texts_do_not_quote_the_provider() -> None:
    secret: Any = {"message": "Incorrect API key: sk-1234"}
    assert retries.reason(ModelHTTPError(418, "qwen", secret)) == DEFAULT_FAILURE_TEXT
