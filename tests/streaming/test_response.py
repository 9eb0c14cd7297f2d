"""The streaming response by itself: silence, a client that does not read, one that leaves, a server that stops."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.types import Message

from streaming.response import StreamResponse

KEEP_ALIVE = b":\n\n"
SCOPE: Any = {"type": "http", "asgi": {"spec_version": "2.3"}}


class Client:
    """Collects what it is sent. With `reads=False` it takes nothing after the head of the response."""

    def __init__(self, *, reads: bool = True) -> None:
        self.received: list[bytes] = []
        self.ended = False
        self.reads = reads
        self.left = asyncio.Event()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            return
        if not self.reads:
            await asyncio.Event().wait()
        self.received.append(message["body"])
        self.ended = not message["more_body"]

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}


class Source:
    """Chunks that note whether they, and the resources behind them, were closed."""

    def __init__(self, *pauses: float, endless: bool = False) -> None:
        self.pauses, self.endless = pauses, endless
        self.closed: list[str] = []

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            for pause in self.pauses:
                await asyncio.sleep(pause)
                yield b"chunk"
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.closed.append("chunks")

    def response(self, kind: type[StreamResponse] = StreamResponse, stall_timeout: float = 30) -> StreamResponse:
        response = kind(
            self.chunks(), media_type="text/event-stream", keep_alive=KEEP_ALIVE, stall_timeout=stall_timeout
        )
        response.closing.callback(self.closed.append, "behind")
        return response


async def serve(source: Source, client: Client, stall_timeout: float = 30) -> None:
    async with asyncio.timeout(30):
        await source.response(stall_timeout=stall_timeout)(SCOPE, client.receive, client.send)
    assert source.closed == ["chunks", "behind"]


async def test_silence_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StreamResponse, "keep_alive_seconds", 0.2)
    client, filled, times = Client(), asyncio.Event(), list[float]()

    async def send(message: Message) -> None:
        await client.send(message)
        times.append(asyncio.get_running_loop().time())
        if message.get("body") == KEEP_ALIVE:
            filled.set()

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"chunk"
        await filled.wait()
        yield b"chunk"
        yield b"chunk"

    response = StreamResponse(chunks(), media_type="text/event-stream", keep_alive=KEEP_ALIVE, stall_timeout=30)
    async with asyncio.timeout(30):
        await response(SCOPE, client.receive, send)
    # Not before its time, and not after the end.
    assert (client.received, client.ended) == ([b"chunk", KEEP_ALIVE, b"chunk", b"chunk", b""], True)
    assert times[2] - times[1] > 0.19


async def test_a_client_that_does_not_read_is_dropped() -> None:
    client = Client(reads=False)
    await serve(Source(0, endless=True), client, stall_timeout=0.1)
    assert not client.ended


async def test_a_client_that_leaves_ends_the_stream_at_once() -> None:
    client = Client()
    serving = asyncio.create_task(serve(Source(0, endless=True), client))
    while not client.received:
        await asyncio.sleep(0)
    client.left.set()
    await serving
    assert not client.ended


async def test_what_is_behind_the_stream_is_closed_even_if_the_client_left_before_the_first_chunk() -> None:
    client, source = Client(), Source(endless=True)
    client.left.set()
    async with asyncio.timeout(30):
        await source.response()(SCOPE, client.receive, client.send)
    assert source.closed[-1] == "behind"


class Farewell(StreamResponse):
    def last_chunk(self) -> bytes:
        return b"farewell"


@pytest.mark.parametrize(("kind", "ending"), [(StreamResponse, [b"chunk"]), (Farewell, [b"chunk", b"farewell"])])
async def test_a_server_that_stops_sends_the_last_chunk_if_there_is_one(
    kind: type[StreamResponse], ending: list[bytes]
) -> None:
    client, source = Client(), Source(0, endless=True)
    serving = asyncio.create_task(source.response(kind)(SCOPE, client.receive, client.send))
    while not client.received:
        await asyncio.sleep(0)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert (client.received, client.ended) == (ending, kind is Farewell)
    assert source.closed == ["chunks", "behind"]
