"""The bytes of a reply's stream, its heartbeats, and its one end."""

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
import pytest
from starlette.types import Message, Receive
from structlog.testing import capture_logs

from resolvers.replies import ReplyEvent
from resolvers.replies.publisher import document_change
from rest_compat.sse import KEEP_ALIVE, ReplyStream, encode_reply_event

ID = UUID("0198aaaa-0000-7000-8000-000000000001")
CALL = {"id": "c", "tool_name": "count", "text_offset": 2, "arguments": {}, "result_summary": None, "result": None}
Events = AsyncGenerator[ReplyEvent, None]


class Client:
    """Takes what is sent; `leave` is its going away."""

    def __init__(self, *, stalled: bool = False) -> None:
        self.messages: list[Message] = []
        self.left = asyncio.Event()
        self.stalled = stalled

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        if self.stalled and message["type"] == "http.response.body":
            await asyncio.Event().wait()

    @property
    def chunks(self) -> list[bytes]:
        return [message["body"] for message in self.messages[1:] if message["body"]]

    @property
    def complete(self) -> bool:
        return self.messages[-1].get("more_body") is False


async def serve(
    events: Events, client: Client, *, keep_alive_seconds: float = 5.0, stall_timeout: float = 5.0, after: int = 0
) -> list[bytes]:
    """The chunks that the client is sent."""
    receive: Receive = client.receive
    ctx: Any = SimpleNamespace(caller=None, limits=SimpleNamespace(stall_timeout_seconds=stall_timeout))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReplyStream, "keep_alive_seconds", keep_alive_seconds)
        async with asyncio.timeout(30):
            await ReplyStream(ctx, ID, events, after=after)({"type": "http"}, receive, client.send)
    return client.chunks


async def test_events_and_headers_are_encoded_as_documented() -> None:
    async def events() -> Events:
        yield ReplyEvent(1, "delta", ID, content="Zé\n")
        yield ReplyEvent(2, "tool_call", ID, tool_call=CALL)
        yield ReplyEvent(3, "done", ID, content="Zé\n")

    client = Client()
    chunks = await serve(events(), client)
    rest = '"document_change":null,"tool_name":null,"tool_call":null}\n\n'
    assert chunks[0].decode() == f'id: 1\ndata: {{"type":"delta","content":"Zé\\n","message_id":null,{rest}'
    assert chunks[2].decode() == f'id: 3\ndata: {{"type":"done","content":"Zé\\n","message_id":"{ID}",{rest}'
    call = orjson.loads(chunks[1].partition(b"data: ")[2])
    assert call["tool_name"] == "count"
    assert set(call["tool_call"]) == {"id", "tool_name", "text_offset", "result_summary", "result"}
    assert dict(client.messages[0]["headers"]) == {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"cache-control": b"no-cache",
        b"x-accel-buffering": b"no",
    }
    assert client.complete


def test_a_document_change_is_encoded_as_documented() -> None:
    suggestion: Any = SimpleNamespace(
        id=ID, operation="replace_full", suggested_text="Zé", original_text=None, position_start=0, position_end=4
    )
    event = ReplyEvent(7, "document_change", ID, document_change=document_change(suggestion))
    # As the bus carries it.
    assert encode_reply_event(ReplyEvent.decode(event.encode())).decode() == (
        'id: 7\ndata: {"type":"document_change","content":null,"message_id":null,"document_change":'
        '{"operation":"replace_full","proposed_text":"Zé","original_text":null,"position_start":0,"position_end":4,'
        f'"suggestion_id":"{ID}"}},"tool_name":null,"tool_call":null}}\n\n'
    )


async def test_pings_fill_the_silence_and_no_event_is_lost() -> None:
    async def events() -> Events:
        for seq in (1, 2):
            await asyncio.sleep(0.12)
            yield ReplyEvent(seq, "delta", ID, content="x")
        yield ReplyEvent(3, "done", ID, content="xx")

    chunks = await serve(events(), Client(), keep_alive_seconds=0.05)
    assert chunks.count(KEEP_ALIVE) >= 2
    assert [chunk[:5] for chunk in chunks if chunk != KEEP_ALIVE] == [b"id: 1", b"id: 2", b"id: 3"]


@pytest.mark.parametrize("fails", [True, False])
async def test_a_stream_that_breaks_off_ends_with_one_error(fails: bool) -> None:
    async def events() -> Events:
        yield ReplyEvent(7, "delta", ID, content="x")
        if fails:
            raise RuntimeError("secret")

    with capture_logs() as logged:
        client = Client()
        chunks = await serve(events(), client)
    assert len(chunks) == 2
    # The number of the last event that was heard: who joins again after it misses nothing.
    assert chunks[1].startswith(b'id: 7\ndata: {"type":"error"')
    assert b"secret" not in chunks[1]
    assert client.complete
    assert [line["event"] for line in logged] == ["stream.failed"]


async def test_nothing_follows_the_terminal_event() -> None:
    async def events() -> Events:
        yield ReplyEvent(1, "error", ID, content="stopped")
        yield ReplyEvent(2, "delta", ID, content="x")

    assert len(await serve(events(), Client())) == 1


@pytest.mark.parametrize("stalled", [False, True])
async def test_the_stream_of_a_client_that_leaves_or_stalls_is_closed(stalled: bool) -> None:
    closed = asyncio.Event()

    async def events() -> Events:
        try:
            for seq in range(1, 1_000):
                yield ReplyEvent(seq, "delta", ID, content="x")
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    client = Client(stalled=stalled)
    if not stalled:
        asyncio.get_running_loop().call_later(0.1, client.left.set)
    await serve(events(), client, stall_timeout=0.1 if stalled else 5.0)
    async with asyncio.timeout(30):
        await closed.wait()
    assert len(client.chunks) < 100


async def test_a_stopping_server_ends_its_streams_with_an_error() -> None:
    async def events() -> Events:
        yield ReplyEvent(1, "delta", ID, content="x")
        await asyncio.Event().wait()

    client = Client()
    streaming = asyncio.create_task(serve(events(), client))
    await asyncio.sleep(0.05)
    streaming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await streaming
    assert len(client.chunks) == 2
    assert b'"type":"error"' in client.chunks[1]
    assert client.complete
