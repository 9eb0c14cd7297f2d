"""An answer that breaks off: each failure has its name, and the connection is let go of."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from pydantic_ai import Agent, exceptions

from caret.providers import Catalogue
from caret.providers.stream_chunks import MAX_CHUNK_BYTES
from caret.providers.streaming_client import StreamingClient
from resolvers.core.ports.ai import text_listener

from .helpers import FakeProvider, complete_and_listen, delta, failure, pieces, raw, sse

END = b"data: [DONE]\n\n"
STOP = sse(delta("stop"))


@pytest_asyncio.fixture
async def catalogue(provider: FakeProvider) -> AsyncIterator[Catalogue]:
    built = Catalogue(llm_base_url=provider.url, llm_model="qwen", llm_silence=0.3)
    yield built
    await built.aclose()


BROKEN_CHUNKS = [
    b'data: {"choices": [{"index": 0, "delta": {"conte\n\n',
    b"data: <html>Bad gateway</html>\n\n",
    b"data: 5\n\n",
    b'data: {"choices": 5}\n\n',
    b'data: {"choices": [{"delta": {"content": 5}}]}\n\n',
    b'data: {"choices": [{"delta": {"tool_calls": [5]}}]}\n\n',
    b'data: {"choices": [{"delta": {"content": [{"type": "text"}]}}]}\n\n',
    b'data: {"a": "\\ud83d' + b"[" * 5000 + b"\n\n",
    b"data: \xff\xfe\n\n",
]


@pytest.mark.parametrize("broken", BROKEN_CHUNKS)
async def test_a_malformed_chunk(provider: FakeProvider, client: StreamingClient, broken: bytes) -> None:
    provider.answer = raw(sse(delta(content="Hi")), broken, STOP, END)
    with pytest.raises(openai.APIError, match="a chunk") as failed:
        await complete_and_listen(client)
    assert type(failed.value) is openai.APIError


async def test_a_chunk_without_end(provider: FakeProvider, client: StreamingClient) -> None:
    provider.answer = raw(b"data: " + b"x" * (MAX_CHUNK_BYTES + 1), ending="stall")
    with pytest.raises(openai.APIError, match="too long"):
        await complete_and_listen(client)


ERROR = {"message": "Slow down.", "code": "rate_limit_exceeded"}
FAILURES = [
    pytest.param(raw(sse(delta(content="Hi")), ending="drop"), exceptions.ModelConnectionError, id="dropped"),
    pytest.param(raw(ending="drop"), exceptions.ModelConnectionError, id="dropped before a word"),
    pytest.param(raw(sse(delta(content="Hi"))), exceptions.ModelConnectionError, id="no reason to end"),
    pytest.param(raw(b"<html></html>"), exceptions.ModelConnectionError, id="no stream"),
    pytest.param(raw(sse(delta(content="Hi")), ending="stall"), exceptions.ModelTimeoutError, id="silent"),
    pytest.param(raw(ending="stall"), exceptions.ModelTimeoutError, id="silent from the start"),
    pytest.param(raw(sse(delta(content="Hi"), {"error": ERROR})), exceptions.ModelRateLimitError, id="error"),
    pytest.param(raw(sse({"error": {"code": 503, "message": ""}})), exceptions.ModelUnavailableError, id="status"),
    pytest.param(raw(sse({"error": "Out of memory"})), exceptions.ModelAPIError, id="error text"),
    pytest.param(raw(BROKEN_CHUNKS[0]), exceptions.ModelAPIError, id="malformed"),
    pytest.param(raw(sse(delta(refusal="No.")), STOP), exceptions.ContentFilterError, id="refusal"),
    pytest.param(failure(429), exceptions.ModelRateLimitError, id="429"),
    pytest.param(failure(401), exceptions.ModelAuthenticationError, id="401"),
    pytest.param(failure(404), exceptions.ModelNotFoundError, id="404"),
    pytest.param(failure(400, code="context_length_exceeded"), exceptions.ModelContextWindowExceededError, id="long"),
    pytest.param(failure(529), exceptions.ModelOverloadedError, id="529"),
    pytest.param(failure(500), exceptions.ModelServerError, id="500"),
]


@pytest.mark.parametrize(("answer", "kind"), FAILURES)
async def test_every_failure_has_its_kind(
    provider: FakeProvider, catalogue: Catalogue, answer: Any, kind: type[Exception]
) -> None:
    provider.answer = answer
    with pytest.raises(kind):
        await pieces(Agent(catalogue.model("qwen")), "Hello")
    assert len(provider.calls) == 1


async def test_nobody_there(unused_tcp_port: int) -> None:
    catalogue = Catalogue(llm_base_url=f"http://127.0.0.1:{unused_tcp_port}/v1", llm_model="qwen")
    with pytest.raises(exceptions.ModelConnectionError):
        await pieces(Agent(catalogue.model("qwen")), "Hello")
    await catalogue.aclose()


async def test_a_request_that_is_cancelled_lets_go_of_the_provider(
    provider: FakeProvider, client: StreamingClient
) -> None:
    provider.answer = raw(sse(delta(content="Hi")), ending="stall", left=provider.left)
    began = asyncio.Event()

    async def ask() -> None:
        async def receive(*_pieces: str) -> None:
            began.set()

        text_listener.set(receive)
        await client.chat.completions.create(model="qwen", messages=[])

    request = asyncio.create_task(ask())
    await began.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await asyncio.to_thread(provider.left.wait, 10)
    provider.answer = raw(sse(delta(content="Again")), STOP, END)
    assert (await complete_and_listen(client))[0] == ["Again"]


async def test_who_listens_may_fail(provider: FakeProvider, client: StreamingClient) -> None:
    provider.answer = raw(sse(delta(content="Hi")), ending="stall", left=provider.left)

    async def receive(*_pieces: str) -> None:
        raise TimeoutError("the bus is away")

    listening = text_listener.set(receive)
    try:
        with pytest.raises(TimeoutError, match="the bus is away"):
            await client.chat.completions.create(model="qwen", messages=[])
    finally:
        text_listener.reset(listening)
    assert await asyncio.to_thread(provider.left.wait, 10)
