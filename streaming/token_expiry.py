"""When an access token expires, every connection that was opened with it ends."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Protocol, TypeVar

from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.viewer import Viewer

TOKEN_EXPIRED = "The access token has expired. Reconnect with a new token and your last cursor."  # noqa: S105 (a message)
CLOCK_CHECK_SECONDS = 30.0
"""How long a connection sleeps until it looks at the clock again, which may have been set meanwhile."""

Event = TypeVar("Event")
Event_co = TypeVar("Event_co", covariant=True)


class EventSource(Protocol[Event_co]):
    """An async generator, or an object that is iterated and closed like one."""

    def __anext__(self) -> Awaitable[Event_co]: ...
    async def aclose(self) -> None: ...


async def until_token_expires(events: EventSource[Event], viewer: Viewer | None) -> AsyncGenerator[Event, None]:
    """Yields the events and closes their source. Raises UNAUTHENTICATED when the viewer's token expires."""
    loop = asyncio.get_running_loop()
    expires_at = viewer.expires_at if viewer else None
    end = None if expires_at is None else loop.time() + max(expires_at - time.time(), 0)
    async with aclosing(events):
        # A timeout ends only what waits, and an event that is there already is read without waiting.
        while end is None or loop.time() < end:
            try:
                async with asyncio.timeout_at(end) as token_lifetime:
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not token_lifetime.expired():
                    raise
                break
            yield event
        raise Problem(ErrorCode.UNAUTHENTICATED, TOKEN_EXPIRED)


async def wait_for_token_expiry(viewer: Viewer | None) -> None:
    """Returns once the viewer's token has expired. For an API key it never returns."""
    if viewer is None or viewer.expires_at is None:
        await asyncio.Event().wait()
        return
    while (left := viewer.expires_at - time.time()) > 0:  # noqa: ASYNC110 (there is no event, only the clock)
        await asyncio.sleep(min(left, CLOCK_CHECK_SECONDS))
