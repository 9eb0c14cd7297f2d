"""The background jobs, which no caller waits for. Any number of workers may run; each takes what is free."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from models.base import Record
from models.limits import limit
from resolvers import recordings, replies
from resolvers.core import idempotency
from resolvers.core.context import Context
from resolvers.core.failures import is_outage, report_failure
from resolvers.core.retry import LONGEST_WAIT_SECONDS, retry_until_available
from resolvers.events import retention
from resolvers.notes import translation
from resolvers.search import indexing
from resolvers.webhooks import outcomes as webhook_outcomes
from resolvers.webhooks.sender import Sender

NOTES_AT_A_TIME = limit(
    8, "Notes with new text that one worker indexes at a time", area="Search", beyond="the others wait"
)
OUTDATED_AT_A_TIME = 2
"""Fewer, because they share the embedder with the notes whose text is new."""
RECORDINGS_AT_A_TIME = limit(
    4, "Recordings that one worker processes at a time", area="Audio", beyond="the others wait"
)
"""A transcription may take an hour, most of which is waiting for the transcriber."""
TRANSLATIONS_AT_A_TIME = limit(2, "Notes that one worker translates at a time", area="Audio", beyond="the others wait")
IDLE_SECONDS = 2.0
"""A job without work looks for it again after so long, unless it is woken earlier."""

WorkOnce = Callable[[], Awaitable[int]]
"""Does some of a job's work. Returns how much: 0 lets the job pause."""


@dataclass(frozen=True)
class Job:
    """A background job: its work, the pause when there is none, and how many do it at a time in one worker."""

    name: str
    work: WorkOnce
    pause_seconds: float
    wakeup: asyncio.Event | None = None
    at_a_time: int = 1


async def run(ctx: Context) -> None:
    """Runs all jobs until it is cancelled."""
    # Webhooks have an event of their own, because each request that ends makes room for another.
    log_has_grown, deliveries_are_due = asyncio.Event(), asyncio.Event()

    def wake(_seq: int) -> None:
        log_has_grown.set()
        deliveries_are_due.set()

    async with ctx.bus.subscribe_wakeups(None, wake), asyncio.TaskGroup() as tasks:
        tasks.create_task(retry_until_available("register_embedder", lambda: indexing.register_embedder(ctx)))
        sender = Sender(ctx, tasks, deliveries_are_due.set)
        jobs = [
            *queues(ctx, log_has_grown),
            Job("webhooks", sender.send, IDLE_SECONDS, deliveries_are_due),
            *clean_ups(ctx),
        ]
        for job in jobs:
            for _ in range(job.at_a_time):
                tasks.create_task(run_repeatedly(job))


def queues(ctx: Context, log_has_grown: asyncio.Event) -> Sequence[Job]:
    """The work that events and callers cause."""
    return (
        Job("index", lambda: index(ctx), IDLE_SECONDS, log_has_grown),
        Job("outdated_notes", lambda: renew(ctx), IDLE_SECONDS),
        Job("recordings", lambda: record(ctx), IDLE_SECONDS, log_has_grown, RECORDINGS_AT_A_TIME),
        Job("translations", lambda: translate(ctx), IDLE_SECONDS, log_has_grown, TRANSLATIONS_AT_A_TIME),
        Job("lost_replies", lambda: replies.close_lost(ctx), 5.0),
        Job("ended_reindexing", lambda: indexing.finish_reindexing(ctx), IDLE_SECONDS),
    )


def clean_ups(ctx: Context) -> Sequence[Job]:
    """What is deleted when its time has come."""
    return (
        Job("unused_vector_spaces", lambda: indexing.delete_unused_embedders(ctx), 60.0),
        Job("unused_audio", lambda: recordings.delete_unused_audio(ctx), 60.0),
        Job("orphaned_audio", lambda: recordings.delete_orphaned_audio(ctx), 600.0),
        Job("old_idempotency_keys", lambda: idempotency.delete_expired(ctx), 600.0),
        Job("old_deliveries", lambda: webhook_outcomes.clean_up(ctx), 600.0),
        Job("old_events", lambda: retention.delete_expired(ctx), 3600.0),
    )


async def run_repeatedly(job: Job) -> None:
    """Does a job again and again: at once while there is work, else after its pause or when it is woken.

    A failure ends neither the other jobs nor the process. During an outage the job tries again after its pause; a bug
    is logged with its traceback each time, so the waits between its attempts grow.
    """
    bugs = 0
    while True:
        try:
            worked = await job.work()
        except Exception as error:  # noqa: BLE001 (reported: a traceback for a bug, a line for an outage)
            report_failure("job.failed", error, job=job.name)
            bugs = 0 if is_outage(error) else bugs + 1
            worked = 0
        else:
            bugs = 0
        if bugs:
            await asyncio.sleep(seconds_after_bug(job, bugs))
        elif not worked:
            await pause(job.pause_seconds, job.wakeup)


def seconds_after_bug(job: Job, bugs: int) -> float:
    """The wait after so many bugs in a row: it doubles up to LONGEST_WAIT_SECONDS, and is never under the pause."""
    return max(job.pause_seconds, min(job.pause_seconds * 2.0 ** min(bugs - 1, 10), LONGEST_WAIT_SECONDS))


async def pause(seconds: float, wakeup: asyncio.Event | None) -> None:
    if wakeup is None:
        await asyncio.sleep(seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await wakeup.wait()
    except TimeoutError:
        return
    wakeup.clear()


async def index(ctx: Context) -> int:
    """Indexes notes that wait for it. One that fails is postponed and holds up no other."""
    jobs = await indexing.claim(ctx, NOTES_AT_A_TIME)
    await attempt(ctx, jobs)
    return len(jobs)


async def renew(ctx: Context) -> int:
    """Indexes outdated notes again, while none with new text waits. Returns how many have been indexed, not how many
    were tried: while the embedder is away the job pauses."""
    jobs = await indexing.claim_outdated(ctx, OUTDATED_AT_A_TIME)
    return len(jobs) - len(await attempt(ctx, jobs))


async def attempt(ctx: Context, jobs: Sequence[Record]) -> list[Exception]:
    """Indexes all of them at once; returns the failures."""
    outcomes = await asyncio.gather(*(indexing.work(ctx, job) for job in jobs), return_exceptions=True)
    failures = []
    for job, outcome in zip(jobs, outcomes, strict=True):
        if isinstance(outcome, Exception):
            report_failure("index.failed", outcome, note_id=str(job.id))
            failures.append(outcome)
    return failures


async def record(ctx: Context) -> int:
    """Does one stage of one recording."""
    job = await recordings.claim(ctx)
    if job is not None:
        await recordings.work(ctx, job)
    return 0 if job is None else 1


async def translate(ctx: Context) -> int:
    """Translates the transcript of one note."""
    job = await translation.claim(ctx)
    if job is not None:
        await translation.work(ctx, job)
    return 0 if job is None else 1
