"""A reply as server-sent events. Every stream ends with one terminal event, whatever ended it."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, ExitStack, aclosing
from typing import Final
from uuid import UUID

import orjson

from resolvers.core.context import Context
from resolvers.core.errors import Problem
from resolvers.core.failures import report_failure
from resolvers.replies import ReplyEvent
from rest_compat import serializers
from rest_compat.ai_shapes import StreamEvent
from streaming.response import StreamResponse
from streaming.sse import MEDIA_TYPE, encode_comment, encode_event
from streaming.token_expiry import until_token_expires

KEEP_ALIVE: Final = encode_comment("ping")
FAILED: Final = "This stream broke off. The reply goes on: reconnect with Last-Event-ID, or read the message later."
STOPPED: Final = "The server is stopping. The reply can be joined again."


def encode_reply_event(event: ReplyEvent) -> bytes:
    call = event.tool_call
    data = {
        "type": event.type,
        "content": event.content,
        "message_id": event.message_id if event.is_terminal else None,
        "document_change": event.document_change,
        "tool_name": call and call["tool_name"],
        "tool_call": call and serializers.tool_call(call),
    }
    return encode_event(orjson.dumps(data, default=str), event_id=str(event.seq))


class ReplyStream(StreamResponse):
    """The events of a reply until the terminal one, or until the client leaves. The reply itself goes on.

    `after` is the number of the event that the client received last. `counted` is exited when the stream ends.
    """

    media_type = MEDIA_TYPE
    event = StreamEvent
    """The shape of each event's data."""

    def __init__(
        self,
        ctx: Context,
        message_id: UUID,
        events: AsyncGenerator[ReplyEvent, None],
        *,
        after: int = 0,
        counted: ExitStack | None = None,
    ) -> None:
        # An error that ends the stream early carries the number of the last event, so a client that joins again after
        # it misses nothing.
        self._last = ReplyEvent(after, "", message_id)
        self._events = until_token_expires(events, ctx.caller)
        closing = AsyncExitStack()
        closing.enter_context(counted or ExitStack())
        closing.push_async_callback(events.aclose)
        super().__init__(
            self._encoded(),
            media_type=MEDIA_TYPE,
            keep_alive=KEEP_ALIVE,
            stall_timeout=ctx.limits.stall_timeout_seconds,
            closing=closing,
        )

    def last_chunk(self) -> bytes | None:
        return None if self._last.is_terminal else encode_reply_event(self._error(STOPPED))

    async def _encoded(self) -> AsyncGenerator[bytes, None]:
        """The events up to the terminal one. If they break off before it, an error takes its place."""
        try:
            async with aclosing(self._events) as events:
                async for self._last in events:
                    yield encode_reply_event(self._last)
                    if self._last.is_terminal:
                        return
            raise RuntimeError("a reply's events ended without a terminal one")
        except Problem as problem:
            # The viewer may no longer read the reply, or their token has expired.
            self._last = self._error(problem.message)
        except Exception as error:  # noqa: BLE001 (the client gets an error, and a bug is reported)
            report_failure("stream.failed", error, message_id=str(self._last.message_id))
            self._last = self._error(FAILED)
        yield encode_reply_event(self._last)

    def _error(self, reason: str) -> ReplyEvent:
        return ReplyEvent(self._last.seq, "error", self._last.message_id, content=reason)
