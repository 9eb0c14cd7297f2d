"""The event log: `publish` writes to it in the transaction of the change; `resolvers.events.subscriptions` reads it.

Within a workspace the order of commits is the order of `seq`, without gaps, because `seq` is taken under the
lock of the workspace's row: a reader that knows its last `seq` can never miss an event.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import insert, literal, select, update
from sqlmodel import col

from models import Event, EventType, Workspace
from models.base import Record, as_id, new_id
from models.note import NoteVisibility
from resolvers.core import cursors
from resolvers.core.context import Transaction, Viewer
from resolvers.events import outbox


async def publish(
    tx: Transaction,
    actor: Viewer | None,
    kind: EventType,
    *,
    workspace_id: UUID,
    note_id: UUID | None,
    owner_id: UUID | None = None,
    **payload: Any,
) -> None:
    """Adds an event to the workspace's log. Call it last: it holds the workspace's row until the commit."""
    taken = (
        update(Workspace)
        .where(col(Workspace.id) == workspace_id)
        .values(last_seq=col(Workspace.last_seq) + 1)
        .returning(col(Workspace.last_seq))
        .cte("taken")
    )
    values = {
        "workspace_id": workspace_id,
        "id": new_id(),
        "type": kind,
        "note_id": note_id,
        "owner_id": owner_id,
        "actor_id": actor.actor_id if actor else None,
        "payload": payload,
    }
    columns = Event.__table__.columns  # type: ignore[attr-defined]  # SQLModel adds it to table classes
    row = select(taken.c.last_seq, *(literal(value, columns[name].type) for name, value in values.items()))
    wanted = outbox.is_wanted(workspace_id, kind).label("wanted")
    event = (await tx.execute(insert(Event).from_select(["seq", *values], row).returning(Event, wanted))).one()
    tx.wakeups[workspace_id] = event.seq
    if event.wanted:
        await outbox.enqueue(tx, event)


def audience(note: Record, shared_with: Iterable[UUID] = ()) -> dict[str, Any]:
    """Who could read the note then: once it is gone, only its events can tell."""
    users = [note.created_by_id, *shared_with]
    return {"private": note.visibility is NoteVisibility.PRIVATE, "users": [str(user) for user in users if user]}


def position(workspace_id: UUID, cursor: str | None) -> int | None:
    """The `seq` that a cursor stands for. Raises BAD_USER_INPUT for one of another workspace's log."""
    if cursor is None:
        return None
    log, seq = cursors.decode("event", cursor, str, int)
    if as_id(log) != workspace_id:
        raise cursors.invalid("after")
    return int(seq)


def cursor(event: Record) -> str:
    return cursors.encode("event", str(event.workspace_id), event.seq)
