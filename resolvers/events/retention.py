"""Retention of the event log: events older than the retention are deleted from its beginning, never from its middle."""

from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlmodel import col

from models import Event, Workspace
from resolvers.core.context import Context
from resolvers.core.database import Transaction

EVENTS_PER_TRANSACTION = 5_000
"""Events that one transaction deletes at most: a publisher of the same workspace waits for its end."""


async def delete_expired(ctx: Context) -> int:
    """A chore: deletes the oldest events of one workspace that has any beyond the retention. Returns how many.

    `first_seq` moves in the same transaction: a cursor before it is refused, so no subscriber skips a gap. An event
    that is young enough stays, as do all that come after it in the log.
    """
    # By the clock of the database, which dated the events.
    is_old = col(Event.created_at) < func.now() - ctx.limits.event_retention
    is_first = and_(col(Event.workspace_id) == col(Workspace.id), col(Event.seq) == col(Workspace.first_seq))
    oldest = select(col(Workspace.id), col(Workspace.first_seq)).join(Event, is_first).where(is_old)
    async with ctx.transaction() as tx:
        workspace = (await tx.execute(oldest.order_by(col(Event.created_at)).limit(1))).one_or_none()
        if workspace is None:
            return 0
        end = await _end_of_old_events(tx, workspace.id, workspace.first_seq, is_old)
        in_workspace = col(Event.workspace_id) == workspace.id
        deleted = await tx.execute(delete(Event).where(in_workspace, col(Event.seq) < end))
        # Last, as it locks the workspace's row. Another worker may have moved `first_seq` further already.
        first_seq = func.greatest(col(Workspace.first_seq), end)
        await tx.execute(update(Workspace).where(col(Workspace.id) == workspace.id).values(first_seq=first_seq))
        return deleted.rowcount


async def _end_of_old_events(tx: Transaction, workspace_id: UUID, first: int, is_old: ColumnElement[bool]) -> int:
    """The first of the next EVENTS_PER_TRANSACTION events that is young enough, or the number after all of them.

    `first` itself if another worker has deleted them meanwhile.
    """
    next_events = (
        col(Event.workspace_id) == workspace_id,
        col(Event.seq) >= first,
        col(Event.seq) < first + EVENTS_PER_TRANSACTION,
    )
    young, end = func.min(col(Event.seq)).filter(~is_old), func.max(col(Event.seq)) + 1
    row = await tx.execute(select(func.coalesce(young, end, first)).where(*next_events))
    return int(row.scalar_one())
