"""An access token's end is the end of every connection that was opened with it."""

import asyncio
import time

from resolvers.core.viewer import Viewer

EXPIRED = "The access token has expired. Come back with a new one, and with your cursor."
LOOK = 30.0
"""Seconds for which the clock is trusted to go on evenly: it may be set meanwhile."""


async def until_expiry(viewer: Viewer | None) -> None:
    """Returns once the viewer's token has expired; for a key, which is checked otherwise, never."""
    if viewer is None or viewer.expires_at is None:
        await asyncio.Event().wait()
        return
    while (left := viewer.expires_at - time.time()) > 0:  # noqa: ASYNC110 (there is no event, only the clock)
        await asyncio.sleep(min(left, LOOK))
