"""Writing to the event log: `publish` adds an event in the transaction of the change that it reports.

Within a workspace the order of commits is the order of `seq`, without gaps, because `seq` is taken under the lock of
the workspace's row: a reader that knows its last `seq` can never miss an event.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import insert, literal, select, update
from sqlmodel import col

from models import Event, EventType, Workspace
from models.base import Record, as_id, new_id
from resolvers.core import cursors
from resolvers.core.database import Transaction
from resolvers.core.viewer import Viewer
from resolvers.events import outbox


async def publish(
    tx: Transaction,
    actor: Viewer | None,
    event_type: EventType,
    *,
    workspace_id: UUID,
    note_id: UUID | None,
    owner_id: UUID | None = None,
    **payload: Any,
) -> None:
    """Adds an event to the workspace's log. Call it last: it locks the workspace's row until the commit."""
    next_seq = (
        update(Workspace)
        .where(col(Workspace.id) == workspace_id)
        .values(last_seq=col(Workspace.last_seq) + 1)
        .returning(col(Workspace.last_seq))
        .cte("next_seq")
    )
    values = {
        "workspace_id": workspace_id,
        "id": new_id(),
        "type": event_type,
        "note_id": note_id,
        "owner_id": owner_id,
        "actor_id": actor.actor_id if actor else None,
        "payload": payload,
    }
    columns = Event.__table__.columns  # type: ignore[attr-defined]  # SQLModel adds it to table classes
    row = select(next_seq.c.last_seq, *(literal(value, columns[name].type) for name, value in values.items()))
    is_requested = outbox.is_requested(workspace_id, event_type).label("is_requested")
    inserted = insert(Event).from_select(["seq", *values], row).returning(Event, is_requested)
    event = (await tx.execute(inserted)).one()
    tx.wakeups[workspace_id] = event.seq
    if event.is_requested:
        await outbox.enqueue(tx, event)


def position(workspace_id: UUID, cursor: str | None) -> int | None:
    """The `seq` of a cursor. Raises BAD_USER_INPUT for a cursor of another workspace's log."""
    if cursor is None:
        return None
    log, seq = cursors.decode("event", cursor, str, int)
    if as_id(log) != workspace_id:
        raise cursors.invalid("after")
    return int(seq)


def cursor(event: Record) -> str:
    """The cursor of an event: a subscription with it as `after` begins with the next event."""
    return cursors.encode("event", str(event.workspace_id), event.seq)
