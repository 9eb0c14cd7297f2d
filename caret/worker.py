"""The third edge: the chores that nobody waits for. Any number of workers may run; each takes what is free."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from models.base import Record
from resolvers import recordings, replies
from resolvers.core import idempotency
from resolvers.core.context import Context
from resolvers.events import retention
from resolvers.notes import translation
from resolvers.search import indexing
from resolvers.webhooks import outcomes as webhook_outcomes
from resolvers.webhooks.sender import Sender

log = structlog.get_logger()

NOTES_AT_A_TIME = 8
OUTDATED_AT_A_TIME = 2
"""Fewer, as all take turns at the embedder with the notes whose text is new."""
IDLE = 2.0
"""Seconds after which a chore looks for work without having been woken."""
LOST_REPLIES = 5.0
OLD_KEYS = 600.0
OLD_EVENTS = 3600.0
OLD_DELIVERIES = 600.0
UNUSED_SPACES = 60.0
RECORDINGS_AT_ONCE = 4
"""A transcription may take an hour, most of which is waiting for somebody else."""
TRANSLATIONS_AT_ONCE = 2
UNUSED_AUDIO = 60.0
ORPHANED_AUDIO = 600.0


async def run(ctx: Context) -> None:
    """Runs all chores until it is cancelled."""
    # Webhooks have a wake-up of their own, as each post that ends makes room for another.
    woken, due = asyncio.Event(), asyncio.Event()

    def wake(_seq: int) -> None:
        woken.set()
        due.set()

    async with ctx.bus.subscribe_wakeups(None, wake), asyncio.TaskGroup() as chores:
        chores.create_task(register(ctx))
        chores.create_task(forever("index", lambda: index(ctx), IDLE, woken))
        chores.create_task(forever("outdated", lambda: renew(ctx), IDLE))
        chores.create_task(forever("ended_reindexing", lambda: indexing.settle(ctx), IDLE))
        chores.create_task(forever("unused_spaces", lambda: indexing.tidy(ctx), UNUSED_SPACES))
        chores.create_task(forever("lost_replies", lambda: replies.close_lost(ctx), LOST_REPLIES))
        chores.create_task(forever("old_keys", lambda: idempotency.forget_old(ctx), OLD_KEYS))
        chores.create_task(forever("old_events", lambda: retention.delete_expired(ctx), OLD_EVENTS))
        for _ in range(RECORDINGS_AT_ONCE):
            chores.create_task(forever("recordings", lambda: record(ctx), IDLE, woken))
        for _ in range(TRANSLATIONS_AT_ONCE):
            chores.create_task(forever("translations", lambda: translate(ctx), IDLE, woken))
        chores.create_task(forever("webhooks", Sender(ctx, chores, due.set).send, IDLE, due))
        chores.create_task(forever("old_deliveries", lambda: webhook_outcomes.clean_up(ctx), OLD_DELIVERIES))
        chores.create_task(forever("unused_audio", lambda: recordings.delete_unused_audio(ctx), UNUSED_AUDIO))
        chores.create_task(forever("orphaned_audio", lambda: recordings.delete_orphaned_audio(ctx), ORPHANED_AUDIO))


async def register(ctx: Context) -> None:
    """Makes this worker's embedder the one that notes are moved to, as soon as the database can be reached."""
    while True:
        try:
            return await indexing.register(ctx)
        except Exception as error:  # noqa: BLE001 (as below)
            log.warning("chore.failed", chore="register", error=str(error) or type(error).__name__)
            await asyncio.sleep(IDLE)


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
    await attempt(ctx, jobs)
    return len(jobs)


async def renew(ctx: Context) -> int:
    """Makes chunks anew that are outdated, while no new text waits. Returns how many notes it did, not tried: while
    the embedder is away there is no hurry."""
    jobs = await indexing.claim_outdated(ctx, OUTDATED_AT_A_TIME)
    return len(jobs) - len(await attempt(ctx, jobs))


async def attempt(ctx: Context, jobs: Sequence[Record]) -> list[Exception]:
    """Indexes all of them at once; returns what went wrong with some."""
    outcomes = await asyncio.gather(*(indexing.work(ctx, job) for job in jobs), return_exceptions=True)
    failures = []
    for job, outcome in zip(jobs, outcomes, strict=True):
        if isinstance(outcome, Exception):
            log.warning("index.failed", note_id=str(job.id), error=str(outcome) or type(outcome).__name__)
            failures.append(outcome)
    return failures


async def record(ctx: Context) -> int:
    """Does one stage of a recording that waits for it."""
    job = await recordings.claim(ctx)
    if job is not None:
        await recordings.work(ctx, job)
    return 0 if job is None else 1


async def translate(ctx: Context) -> int:
    """Translates the transcript of a note that waits for it."""
    job = await translation.claim(ctx)
    if job is not None:
        await translation.work(ctx, job)
    return 0 if job is None else 1
