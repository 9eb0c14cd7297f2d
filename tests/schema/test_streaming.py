"""The response that is a stream, by itself: silence, a client that does not read, one that leaves."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.types import Message

from schema.transports.streaming import Streamed

BEAT = b":\n\n"


class Client:
    """Hears what is sent. `reads` False: it takes nothing after the head."""

    def __init__(self, *, reads: bool = True) -> None:
        self.heard: list[bytes] = []
        self.ended = False
        self.reads = reads
        self.left = asyncio.Event()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            return
        if not self.reads:
            await asyncio.Event().wait()
        self.heard.append(message["body"])
        self.ended = not message["more_body"]

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}


class Source:
    """Chunks, and whether they and what is behind them were closed."""

    def __init__(self, *pauses: float, for_ever: bool = False) -> None:
        self.pauses, self.for_ever = pauses, for_ever
        self.closed: list[str] = []

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            for pause in self.pauses:
                await asyncio.sleep(pause)
                yield b"chunk"
            if self.for_ever:
                await asyncio.Event().wait()
        finally:
            self.closed.append("chunks")


async def serve(source: Source, client: Client, patience: float = 30) -> None:
    streamed = Streamed(source.chunks(), media_type="text/event-stream", beat=BEAT, patience=patience)
    streamed.closing.callback(source.closed.append, "behind")
    scope: Any = {"type": "http", "asgi": {"spec_version": "2.3"}}
    async with asyncio.timeout(30):
        await streamed(scope, client.receive, client.send)
    assert source.closed == ["chunks", "behind"]


async def test_silence_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Streamed, "silence", 0.2)
    client = Client()
    await serve(Source(0, 0.7, 0), client)
    chunks = [chunk for chunk in client.heard if chunk != BEAT]
    assert (chunks, client.ended) == ([b"chunk"] * 3 + [b""], True)
    # Not before its time, and not after the end.
    assert (client.heard[0], client.heard[-3:]) == (b"chunk", [b"chunk", b"chunk", b""])
    assert 1 <= client.heard.count(BEAT) <= 3


async def test_who_does_not_read_is_given_up() -> None:
    client = Client(reads=False)
    await serve(Source(0, for_ever=True), client, patience=0.1)
    assert not client.ended


async def test_who_leaves_is_forgotten_at_once() -> None:
    client = Client()
    server_process = asyncio.create_task(serve(Source(0, for_ever=True), client))
    while not client.heard:
        await asyncio.sleep(0)
    client.left.set()
    await server_process
    assert not client.ended


async def test_who_has_left_before_there_was_anything() -> None:
    client = Client()
    client.left.set()
    source = Source(for_ever=True)
    streamed = Streamed(source.chunks(), media_type="text/event-stream", beat=BEAT, patience=30)
    streamed.closing.callback(source.closed.append, "behind")
    async with asyncio.timeout(30):
        await streamed({"type": "http", "asgi": {"spec_version": "2.3"}}, client.receive, client.send)
    assert source.closed[-1] == "behind"
