"""A reply as server-sent events: each sent as it comes, the silence filled, the end certain."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from uuid import UUID

import orjson
import structlog
from starlette.responses import StreamingResponse
from starlette.types import Send

from resolvers.core.errors import Problem
from resolvers.replies import ReplyEvent
from rest_compat import serializers
from rest_compat.ai_shapes import StreamEvent

log = structlog.get_logger()

PING = b": ping\n\n"
SILENCE = 10.0
"""Seconds without an event after which a ping is sent."""
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

FAILED = "The reply can't be followed any further. It goes on: read it again later."
STOPPED = "The server is stopping. The reply can be joined again."


def encoded(event: ReplyEvent) -> bytes:
    call = event.tool_call
    data = {
        "type": event.type,
        "content": event.content,
        "message_id": event.message_id if event.is_terminal else None,
        "document_change": event.document_change,
        "tool_name": call and call["tool_name"],
        "tool_call": call and serializers.tool_call(call),
    }
    return b"id: %d\ndata: %b\n\n" % (event.seq, orjson.dumps(data, default=str))


class Stalled(Exception):  # noqa: N818 (says what is the matter)
    """The client has not read for too long."""


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
        super().__init__((), headers=HEADERS)
        self._events = events
        self._silence, self._patience = silence, patience
        # What was last told. What ends a stream early bears its number, so that who joins again misses nothing.
        self._last = ReplyEvent(after, "", message_id)

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        self._send, self._sent = send, asyncio.get_running_loop().time()
        pinging = asyncio.create_task(self._ping())
        try:
            await self._tell()
        except Stalled:
            # Without a last chunk the server closes the connection.
            log.info("stream.stalled", message_id=str(self._last.message_id))
            return
        except asyncio.CancelledError:
            # The client has left, then nobody hears this; or the server stops.
            if not self._last.is_terminal:
                await send({"type": "http.response.body", "body": encoded(self._ended(STOPPED)), "more_body": False})
            raise
        finally:
            pinging.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self) -> None:
        """Writes the events up to the terminal one; where they break off, an error in its place."""
        try:
            async with aclosing(self._events) as events:
                async for self._last in events:
                    await self._write(encoded(self._last))
                    if self._last.is_terminal:
                        return
            raise RuntimeError("a reply's events ended without a terminal one")
        except Stalled:
            raise
        except Problem as problem:
            # Who followed may do so no longer.
            self._last = self._ended(problem.message)
            await self._write(encoded(self._last))
        except Exception:
            log.exception("stream.failed", message_id=str(self._last.message_id))
            self._last = self._ended(FAILED)
            await self._write(encoded(self._last))

    async def _write(self, chunk: bytes) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError:
            raise Stalled from None
        self._sent = asyncio.get_running_loop().time()

    async def _ping(self) -> None:
        """Fills every silence, until it is cancelled. Whether a client that stalls is given up the next event says."""
        clock = asyncio.get_running_loop().time
        while True:
            with suppress(Stalled):
                if (left := self._sent + self._silence - clock()) > 0:
                    await asyncio.sleep(left)
                else:
                    await self._write(PING)

    def _ended(self, reason: str) -> ReplyEvent:
        return ReplyEvent(self._last.seq, "error", self._last.message_id, content=reason)
