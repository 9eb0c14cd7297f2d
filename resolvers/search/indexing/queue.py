"""The queue of notes to index: which worker indexes which note, and when."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, literal, select
from sqlmodel import col

from models import Note
from models.base import Record
from resolvers.core.context import Context
from resolvers.core.leases import Backoff, LeaseQueue

LEASE = timedelta(seconds=120)
"""For how long no other worker claims a note that is being indexed."""
QUEUE = LeaseQueue(
    "indexing",
    Note,
    id=col(Note.id),
    until=col(Note.index_after),
    lease=LEASE,
    failures=col(Note.index_failures),
    backoff=Backoff(longest=timedelta(minutes=10)),
)

COLUMNS = (
    col(Note.id),
    col(Note.workspace_id),
    col(Note.index_wanted),
    col(Note.index_content),
    col(Note.index_failures),
)
JOB = (*COLUMNS, literal(False).label("outdated"))
"""The columns of a job, a note to index. `outdated`: its text has not changed, only its chunks are written again."""


def waiting() -> tuple[ColumnElement[bool], ...]:
    """The conditions for notes with a text that is not indexed, and that no worker has claimed."""
    return col(Note.index_done) < col(Note.index_wanted), QUEUE.is_free()


async def claim(ctx: Context, limit: int) -> Sequence[Record]:
    """Claims up to `limit` notes that wait to be indexed."""
    ready = select(col(Note.id)).where(*waiting()).order_by(col(Note.updated_at))
    return await QUEUE.claim(ctx, ready, limit, JOB)


async def renew(ctx: Context, job: Record) -> None:
    """Renews the job's lease, unless a newer text has a lease of its own."""
    async with ctx.transaction() as tx:
        await QUEUE.renew(tx, job, *_is_current(job))


async def postpone(ctx: Context, job: Record, error: Exception) -> None:
    """Makes a failed job due again after a wait that grows with its failures."""
    # An outdated note is given back: among the notes that wait with a new text it would only delay them.
    values = {"index_done": job.index_wanted} if job.outdated else {}
    await QUEUE.postpone(ctx, job, error, *_is_current(job), **values)


def _is_current(job: Record) -> tuple[ColumnElement[bool], ...]:
    """The conditions that the note still waits for the text of this job."""
    return col(Note.index_wanted) == job.index_wanted, col(Note.index_done) < job.index_wanted
