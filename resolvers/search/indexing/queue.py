"""Who indexes which note, and when: leases, and delays after a failure."""

from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, func, literal, or_, select, update
from sqlmodel import col

from models import Note
from models.base import Record
from resolvers.core.context import Context
from resolvers.core.ports.ai import EmbedderUnavailable

log = structlog.get_logger()

LEASE = timedelta(seconds=120)
"""For how long nobody else takes up a note that is being indexed."""
LONGEST_WAIT = timedelta(minutes=10)

COLUMNS = (
    col(Note.id),
    col(Note.workspace_id),
    col(Note.index_wanted),
    col(Note.index_content),
    col(Note.index_failures),
)
ASSIGNED = (*COLUMNS, literal(False).label("outdated"))
"""What is known of a note that is to be indexed: a job. `outdated`: its text is as it was, only its chunks are to be
made anew."""


def waiting() -> tuple[ColumnElement[bool], ...]:
    """Notes with a text that is not indexed, and that nobody is at."""
    return col(Note.index_done) < col(Note.index_wanted), free()


def free() -> ColumnElement[bool]:
    return or_(col(Note.index_after).is_(None), col(Note.index_after) < func.now())


async def claim(ctx: Context, limit: int) -> Sequence[Record]:
    """Takes up to `limit` notes that wait to be indexed, for the length of a lease."""
    chosen = (
        select(col(Note.id))
        .where(*waiting())
        .order_by(col(Note.updated_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = update(Note).where(col(Note.id).in_(chosen)).values(index_after=func.now() + LEASE).returning(*ASSIGNED)
    async with ctx.transaction() as tx:
        return (await tx.execute(taken)).all()


async def renew(ctx: Context, job: Record) -> None:
    """Begins the job's lease anew, unless a newer text has a lease of its own."""
    async with ctx.transaction() as tx:
        await tx.execute(update(Note).where(*_still(job)).values(index_after=func.now() + LEASE))


async def put_off(ctx: Context, job: Record, error: Exception) -> None:
    """Leaves a job for later, ever longer."""
    wait = min(timedelta(seconds=2.0 ** min(job.index_failures, 20)), LONGEST_WAIT)
    if isinstance(error, EmbedderUnavailable) and error.retry_after is not None:
        wait = max(wait, timedelta(seconds=error.retry_after))
    later = {"index_after": func.now() + wait, "index_failures": job.index_failures + 1}
    if job.outdated:
        # Given back: among the notes that wait with a new text it would only be in their way.
        later["index_done"] = job.index_wanted
    async with ctx.transaction() as tx:
        await tx.execute(update(Note).where(*_still(job)).values(later))
    log.warning("indexing.put_off", note_id=str(job.id), seconds=wait.total_seconds(), error=str(error))


def _still(job: Record) -> tuple[ColumnElement[bool], ...]:
    mine = (col(Note.id) == job.id, col(Note.index_wanted) == job.index_wanted)
    return *mine, col(Note.index_done) < job.index_wanted
