"""GraphQL over server-sent events, as the graphql-sse protocol has it: a connection for each operation.

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from resolvers.core.viewer import Viewer
from schema.execution.run import OperationResult, SubscriptionStream
from schema.transports.media_types import SSE
from schema.transports.streaming import Streamed, admitted

BEAT = b":\n\n"
COMPLETE = b"event: complete\ndata: \n\n"


def written(data: bytes, cursor: str | None = None) -> bytes:
    """An event as it is sent. Its id is the cursor, which a client that comes back gives as `Last-Event-ID`."""
    ident = f"id: {cursor}\n".encode() if cursor else b""
    return b"event: next\n%bdata: %b\n\n" % (ident, data)


def streamed(found: OperationResult | SubscriptionStream, viewer: Viewer | None, patience: float) -> Streamed:
    """The response. An operation that was refused is told of in the stream: the protocol wants it so."""
    chunks = _events(found, viewer) if isinstance(found, SubscriptionStream) else _one(found)
    return Streamed(chunks, media_type=SSE, beat=BEAT, patience=patience)


async def _events(stream: SubscriptionStream, viewer: Viewer | None) -> AsyncGenerator[bytes, None]:
    # The first bytes tell browsers that the stream is open, long before its first event.
    yield BEAT
    async with aclosing(admitted(stream, viewer)) as events:
        async for event in events:
            yield written(event.body, event.cursor)
    yield COMPLETE


async def _one(answer: OperationResult) -> AsyncGenerator[bytes, None]:
    yield written(answer.body)
    yield COMPLETE
