"""Subscriptions over multipart/mixed, as Apollo's clients and router implement them.

https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from resolvers.core.viewer import Viewer
from schema.transports.delivery import events_of
from schema.transports.media_types import MULTIPART
from schema.transports.run import OperationResult, SubscriptionStream
from streaming.response import StreamResponse

CONTENT_TYPE: Final = f'{MULTIPART};boundary="graphql";subscriptionSpec="1.0"'


def encode_part(part: bytes) -> bytes:
    """A part with the delimiter after it: a client takes a part for complete once it has received that."""
    return b"\r\nContent-Type: application/json; charset=utf-8\r\n\r\n%b\r\n--graphql" % part


OPENING: Final = b"\r\n--graphql"
KEEP_ALIVE: Final = encode_part(b"{}")
END: Final = b"--\r\n"


def stream_response(
    outcome: OperationResult | SubscriptionStream, viewer: Viewer | None, stall_timeout: float
) -> StreamResponse:
    chunks = _events(outcome, viewer) if isinstance(outcome, SubscriptionStream) else _single(outcome)
    return StreamResponse(chunks, media_type=CONTENT_TYPE, keep_alive=KEEP_ALIVE, stall_timeout=stall_timeout)


async def _events(stream: SubscriptionStream, viewer: Viewer | None) -> AsyncGenerator[bytes, None]:
    # With the first heartbeat, so that the client knows that the stream is open before its first event.
    yield OPENING + KEEP_ALIVE
    async with aclosing(events_of(stream, viewer)) as events:
        async for event in events:
            yield encode_part(b'{"payload":%b}' % event.body)
    yield END


async def _single(result: OperationResult) -> AsyncGenerator[bytes, None]:
    yield OPENING + encode_part(b'{"payload":%b}' % result.body) + END
