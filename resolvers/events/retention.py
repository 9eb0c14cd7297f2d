"""The event log forgets: what is older than the retention is dropped from its beginning, never from its middle."""

from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlmodel import col

from models import Event, Workspace
from resolvers.core.context import Context, Transaction

AT_ONCE = 5_000
"""Events that one transaction drops at most: whoever publishes meanwhile waits for its end."""


async def forget(ctx: Context) -> int:
    """A chore: drops the oldest events of one workspace that has any beyond the retention. Returns how many.

    In the same transaction `first_seq` moves: a cursor before it is refused, so a gap is never passed over. An event
    that is young enough stays, and so do all that come after it in the log.
    """
    # By the database's clock, which has dated them.
    old = col(Event.created_at) < func.now() - ctx.limits.event_retention
    first = and_(col(Event.workspace_id) == col(Workspace.id), col(Event.seq) == col(Workspace.first_seq))
    oldest = select(col(Workspace.id), col(Workspace.first_seq)).join(Event, first).where(old)
    async with ctx.transaction() as tx:
        found = (await tx.execute(oldest.order_by(col(Event.created_at)).limit(1))).one_or_none()
        if found is None:
            return 0
        until = await _first_kept(tx, found.id, found.first_seq, old)
        mine = col(Event.workspace_id) == found.id
        done = await tx.execute(delete(Event).where(mine, col(Event.seq) < until))
        # Last, as it holds the workspace's row. Another worker may have been further already.
        moved = func.greatest(col(Workspace.first_seq), until)
        await tx.execute(update(Workspace).where(col(Workspace.id) == found.id).values(first_seq=moved))
        return done.rowcount


async def _first_kept(tx: Transaction, workspace_id: UUID, first: int, old: ColumnElement[bool]) -> int:
    """The first of the next AT_ONCE events that is young enough, or the one after all of them. `first` itself where
    another worker has dropped them meanwhile."""
    mine = (col(Event.workspace_id) == workspace_id, col(Event.seq) >= first, col(Event.seq) < first + AT_ONCE)
    young, end = func.min(col(Event.seq)).filter(~old), func.max(col(Event.seq)) + 1
    found = await tx.execute(select(func.coalesce(young, end, first)).where(*mine))
    return int(found.scalar_one())
