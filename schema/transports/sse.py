"""GraphQL over server-sent events, in the distinct connections mode of the graphql-sse protocol: one per operation.

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from resolvers.core.viewer import Viewer
from schema.transports.delivery import events_of
from schema.transports.media_types import SSE
from schema.transports.run import OperationResult, SubscriptionStream
from streaming.response import StreamResponse
from streaming.sse import encode_comment, encode_event

KEEP_ALIVE: Final = encode_comment()
COMPLETE: Final = encode_event(b"", event="complete")


def encode_next(payload: bytes, cursor: str | None = None) -> bytes:
    """A `next` event. Its id is the cursor, which a client that reconnects sends as `Last-Event-ID`."""
    return encode_event(payload, event="next", event_id=cursor)


def stream_response(
    outcome: OperationResult | SubscriptionStream, viewer: Viewer | None, stall_timeout: float
) -> StreamResponse:
    """The response. A refused operation is reported within the stream, as the protocol requires."""
    chunks = _events(outcome, viewer) if isinstance(outcome, SubscriptionStream) else _single(outcome)
    return StreamResponse(chunks, media_type=SSE, keep_alive=KEEP_ALIVE, stall_timeout=stall_timeout)


async def _events(stream: SubscriptionStream, viewer: Viewer | None) -> AsyncGenerator[bytes, None]:
    # The first bytes show a browser that the stream is open, long before the first event.
    yield KEEP_ALIVE
    async with aclosing(events_of(stream, viewer)) as events:
        async for event in events:
            yield encode_next(event.body, event.cursor)
    yield COMPLETE


async def _single(result: OperationResult) -> AsyncGenerator[bytes, None]:
    yield encode_next(result.body)
    yield COMPLETE
