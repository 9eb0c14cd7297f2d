"""A reply as server-sent events: each sent as it comes, the silence filled, the end certain."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

import orjson
import structlog
from starlette.responses import StreamingResponse
from starlette.types import Send

from resolvers.replies import ReplyEvent
from rest_compat import present
from rest_compat.ai_shapes import StreamEvent

log = structlog.get_logger()

PING = b": ping\n\n"
SILENCE = 10.0
"""Seconds without an event after which a ping is sent."""
AHEAD = 64
"""Events that may wait for a slow client; the rest stays on the bus."""
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

FAILED = "The reply can't be followed any further. It goes on: read it again later."
STOPPED = "The server is stopping. The reply can be joined again."


def encoded(event: ReplyEvent) -> bytes:
    call = event.tool_call
    data = {
        "type": event.type,
        "content": event.content,
        "message_id": event.message_id if event.terminal else None,
        "document_change": event.document_change,
        "tool_name": call and call["tool_name"],
        "tool_call": call and present.tool_call(call),
    }
    return b"id: %d\ndata: %b\n\n" % (event.seq, orjson.dumps(data, default=str))


class ReplyStream(StreamingResponse):
    """Follows a reply until its terminal event, or until the client goes away; the reply itself goes on."""

    media_type = "text/event-stream"
    event = StreamEvent
    """The shape of each event's data."""

    def __init__(
        self,
        message_id: UUID,
        events: AsyncGenerator[ReplyEvent, None],
        *,
        patience: float,
        after: int = 0,
        silence: float = SILENCE,
    ) -> None:
        """`patience`: seconds that the client may take to read one event; then it is given up."""
        self._told = self.chunks()
        super().__init__(self._told, headers=HEADERS)
        self._events = events
        self._silence, self._patience = silence, patience
        # What was last told. What ends a stream early bears its number, so that who joins again misses nothing.
        self._last = ReplyEvent(after, "", message_id)

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(self._told) as chunks:
                async for chunk in chunks:
                    async with asyncio.timeout(self._patience):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError:
            # Without a last chunk the server closes the connection.
            log.info("stream.stalled", message_id=str(self._last.message_id))
            return
        except asyncio.CancelledError:
            # The client has left, then nobody hears this; or the server stops.
            if not self._last.terminal:
                await send({"type": "http.response.body", "body": encoded(self._ended(STOPPED)), "more_body": False})
            raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        waiting: asyncio.Queue[ReplyEvent | None] = asyncio.Queue(AHEAD)
        # A task of its own reads the events: to wait for one with a timeout would end their generator.
        reader = asyncio.create_task(self._read(waiting))
        try:
            while not self._last.terminal:
                try:
                    async with asyncio.timeout(self._silence):
                        self._last = await waiting.get() or self._ended(FAILED)
                except TimeoutError:
                    yield PING
                else:
                    yield encoded(self._last)
        finally:
            reader.cancel()

    async def _read(self, waiting: asyncio.Queue[ReplyEvent | None]) -> None:
        """Hands on the events up to the terminal one, or None in its place."""
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    await waiting.put(event)
                    if event.terminal:
                        return
            raise RuntimeError("a reply's events ended without a terminal one")
        except Exception:
            log.exception("stream.failed", message_id=str(self._last.message_id))
            await waiting.put(None)

    def _ended(self, reason: str) -> ReplyEvent:
        return ReplyEvent(self._last.seq, "error", self._last.message_id, content=reason)
