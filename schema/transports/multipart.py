"""Subscriptions over multipart/mixed, as Apollo's clients and router have them.

https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from resolvers.core.viewer import Viewer
from schema.execution.run import OperationResult, SubscriptionStream
from schema.transports.media_types import MULTIPART
from schema.transports.streaming import Streamed, admitted

CONTENT_TYPE = f'{MULTIPART};boundary="graphql";subscriptionSpec="1.0"'


def written(part: bytes) -> bytes:
    """A part with the delimiter after it: a client takes a part for whole once it sees that."""
    return b"\r\nContent-Type: application/json; charset=utf-8\r\n\r\n%b\r\n--graphql" % part


OPENING = b"\r\n--graphql"
BEAT = written(b"{}")
END = b"--\r\n"


def streamed(found: OperationResult | SubscriptionStream, viewer: Viewer | None, patience: float) -> Streamed:
    chunks = _events(found, viewer) if isinstance(found, SubscriptionStream) else _one(found)
    return Streamed(chunks, media_type=CONTENT_TYPE, beat=BEAT, patience=patience)


async def _events(stream: SubscriptionStream, viewer: Viewer | None) -> AsyncGenerator[bytes, None]:
    # With the first heartbeat, so that the client knows the stream to be open before its first event.
    yield OPENING + BEAT
    async with aclosing(admitted(stream, viewer)) as events:
        async for event in events:
            yield written(b'{"payload":%b}' % event.body)
    yield END


async def _one(answer: OperationResult) -> AsyncGenerator[bytes, None]:
    yield OPENING + written(b'{"payload":%b}' % answer.body) + END
