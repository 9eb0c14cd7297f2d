"""The third edge: the chores that nobody waits for. Any number of workers may run; each takes what is free."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from resolvers import idempotency, indexing, replies
from resolvers.context import Context

log = structlog.get_logger()

NOTES_AT_A_TIME = 4
IDLE = 2.0
"""Seconds after which a chore looks for work without having been woken."""
LOST_REPLIES = 5.0
OLD_KEYS = 600.0


async def run(ctx: Context) -> None:
    """Runs all chores until it is cancelled."""
    woken = asyncio.Event()
    async with ctx.bus.wakeups(None, lambda _seq: woken.set()), asyncio.TaskGroup() as chores:
        chores.create_task(forever("index", lambda: index(ctx), IDLE, woken))
        chores.create_task(forever("lost_replies", lambda: replies.close_lost(ctx), LOST_REPLIES))
        chores.create_task(forever("old_keys", lambda: idempotency.forget_old(ctx), OLD_KEYS))


async def forever(
    name: str, chore: Callable[[], Awaitable[int]], rest: float, woken: asyncio.Event | None = None
) -> None:
    """Does a chore again and again: at once while there is work, else after a rest or when woken."""
    while True:
        try:
            done = await chore()
        except Exception as error:  # noqa: BLE001 (one chore's trouble must not end the others, nor the process)
            log.warning("chore.failed", chore=name, error=str(error) or type(error).__name__)
            done = 0
        if not done:
            await pause(rest, woken)


async def pause(seconds: float, woken: asyncio.Event | None) -> None:
    if woken is None:
        await asyncio.sleep(seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        return
    woken.clear()


async def index(ctx: Context) -> int:
    """Indexes the notes that wait for it; one that fails is put off and keeps nobody else waiting."""
    jobs = await indexing.claim(ctx, NOTES_AT_A_TIME)
    for job in jobs:
        try:
            await indexing.work(ctx, job)
        except Exception as error:  # noqa: BLE001 (whatever is wrong with a note, the others are not)
            log.warning("index.failed", note_id=str(job.id), error=str(error) or type(error).__name__)
    return len(jobs)
