"""What a worker does with recordings: one stage at a time, each ended by a commit that the next one starts from.

A stage that is cut off is done again from its beginning, by whoever finds its lease run out. Of two that did the same
the first to commit counts: the second finds the recording in another state.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog
from sqlalchemy import and_, func, or_, select, true, update
from sqlmodel import col

from models import Note, Recording
from models.base import Record
from models.recording import RecordingState
from resolvers.core.context import Context
from resolvers.core.ports.ai import has_generative_model
from resolvers.core.ports.audio import AudioRefused, TranscriberUnavailable
from resolvers.recordings.stages import give_up
from resolvers.recordings.summarize import summarize
from resolvers.recordings.transcribe import transcribe

log = structlog.get_logger()

LEASE = timedelta(seconds=60)
"""For how long nobody else takes up a recording that is being worked on; it is renewed meanwhile."""
LONGEST_WAIT = timedelta(minutes=10)
LONGEST_WISH = timedelta(hours=1)
"""The most that a transcriber may ask to be left alone."""
MAX_ATTEMPTS = 10
"""Attempts at one stage, over about half an hour."""

STAGES = {RecordingState.TRANSCRIBING: transcribe, RecordingState.SUMMARIZING: summarize}
ENDS = {
    RecordingState.TRANSCRIBING: "The transcriber was not available.",
    RecordingState.SUMMARIZING: "The summary could not be written.",
}


async def claim(ctx: Context) -> Record | None:
    """Takes a recording that waits, for the length of a lease."""
    # A summary comes after the translation, where there is somebody to translate.
    translated = col(Note.translate_after).is_(None) if has_generative_model(ctx.models) else true()
    ready = and_(col(Recording.state) == RecordingState.SUMMARIZING, translated)
    # Audio is left to those who have a transcriber, should this process have none.
    if ctx.audio.transcriber is not None:
        ready = or_(col(Recording.state) == RecordingState.TRANSCRIBING, ready)
    waiting = (
        select(col(Recording.id))
        .join(Note, col(Note.id) == col(Recording.note_id))
        .where(ready, or_(col(Recording.work_after).is_(None), col(Recording.work_after) < func.now()))
        .order_by(col(Recording.created_at))
        .limit(1)
        .with_for_update(skip_locked=True, of=Recording)
    )
    taken = update(Recording).where(col(Recording.id).in_(waiting)).values(work_after=func.now() + LEASE)
    async with ctx.transaction() as tx:
        return (await tx.execute(taken.returning(*Recording.__table__.columns))).one_or_none()  # type: ignore[attr-defined]  # set on table classes


async def work(ctx: Context, job: Record) -> None:
    """Does the stage that the recording is in. A failure puts it off, ever longer, or ends it."""
    try:
        async with held(ctx, job):
            await STAGES[job.state](ctx, job)
    except AudioRefused as error:
        await give_up(ctx, job, str(error))
    except Exception as error:  # noqa: BLE001 (whatever it is: the stage is done again, and not for ever)
        await _put_off(ctx, job, error)


@asynccontextmanager
async def held(ctx: Context, job: Record) -> AsyncIterator[None]:
    """Keeps the lease for the length of the block."""
    renewal = asyncio.create_task(_renew(ctx, job))
    try:
        yield
    finally:
        renewal.cancel()
        with suppress(asyncio.CancelledError):
            await renewal


async def _renew(ctx: Context, job: Record) -> None:
    mine = (col(Recording.id) == job.id, col(Recording.state) == job.state)
    while True:
        await asyncio.sleep(LEASE.total_seconds() / 3)
        try:
            async with ctx.transaction() as tx:
                await tx.execute(update(Recording).where(*mine).values(work_after=func.now() + LEASE))
        except Exception as error:  # noqa: BLE001 (the next one may succeed, and a lost lease does no harm)
            log.warning("recording.lease", recording=str(job.id), error=str(error) or type(error).__name__)


async def _put_off(ctx: Context, job: Record, error: Exception) -> None:
    told = str(error) or type(error).__name__
    if job.failures + 1 >= MAX_ATTEMPTS:
        log.warning("recording.given_up", recording=str(job.id), state=job.state, error=told)
        await give_up(ctx, job, ENDS[job.state])
        return
    wait = min(timedelta(seconds=2.0**job.failures), LONGEST_WAIT)
    if isinstance(error, TranscriberUnavailable) and error.retry_after is not None:
        wait = max(wait, min(timedelta(seconds=error.retry_after), LONGEST_WISH))
    later = {"work_after": func.now() + wait, "failures": job.failures + 1}
    still = (col(Recording.id) == job.id, col(Recording.state) == job.state)
    async with ctx.transaction() as tx:
        await tx.execute(update(Recording).where(*still).values(later))
    log.warning("recording.put_off", recording=str(job.id), state=job.state, seconds=wait.total_seconds(), error=told)
