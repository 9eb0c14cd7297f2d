"""Reads of those who wait for events: while the database is away they wait on, and miss nothing when it is back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

log = structlog.get_logger()

AGAIN = 1.0
"""Seconds until what could not be read is tried again."""

T = TypeVar("T")


async def retry_until_available(what: str, read: Callable[[], Awaitable[T]]) -> T:
    """What `read` finds, as often as it must be tried. `what` is its name in the log."""
    while True:
        try:
            return await read()
        except Exception as error:  # noqa: BLE001 (who follows must not wait for a task that has ended)
            log.warning("live.read_failed", what=what, error=str(error) or type(error).__name__)
            await asyncio.sleep(AGAIN)
