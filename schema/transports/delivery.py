"""What all streaming transports do with the events of a subscription."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from resolvers.core.errors import Problem
from resolvers.core.viewer import Viewer
from schema.transports.run import SubscriptionEvent, SubscriptionStream, failed_event
from streaming.token_expiry import until_token_expires


async def events_of(stream: SubscriptionStream, viewer: Viewer | None) -> AsyncGenerator[SubscriptionEvent, None]:
    """The events while the viewer's token is valid. When it expires, the last event is the error that says so."""
    try:
        async with aclosing(until_token_expires(stream, viewer)) as events:
            async for event in events:
                yield event
    except Problem as problem:
        yield failed_event(problem)
