"""The event log: `publish` writes to it in the transaction of the change, `follow` reads it without a gap.

Within a workspace the order of commits is the order of `seq`, without gaps, because `seq` is taken under the
lock of the workspace's row: a reader that knows its last `seq` can never miss an event.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

from sqlalchemy import insert, literal, select, update
from sqlmodel import col

from models import Event, EventType, Note, Role, Workspace
from models.base import Record, as_id, new_id
from models.note import NoteVisibility
from resolvers import access, cursors
from resolvers.access import Right
from resolvers.context import Context, Transaction, Viewer
from resolvers.viewers import standing


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
    written = await tx.execute(insert(Event).from_select(["seq", *values], row).returning(col(Event.seq)))
    tx.wakeups[workspace_id] = written.scalar_one()


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


async def follow_workspace(
    ctx: Context, *, types: Sequence[EventType] | None = None, after: str | None = None
) -> AsyncIterator[Record]:
    """The viewer's workspace's events, from now or after a cursor. Raises before the first event, or not at all."""
    access.need(ctx.me, "notes")
    return await _follow(ctx, ctx.me.workspace_id, after, types=types)


async def follow_note(ctx: Context, note_id: UUID, *, after: str | None = None) -> AsyncIterator[Record]:
    async with ctx.read() as tx:
        note = await access.note(tx, ctx.me, note_id, Right.READ)
    return await _follow(ctx, note.workspace_id, after, note_id=note_id)


async def _follow(
    ctx: Context,
    workspace_id: UUID,
    after: str | None,
    *,
    note_id: UUID | None = None,
    types: Sequence[EventType] | None = None,
) -> AsyncIterator[Record]:
    start = position(workspace_id, after)
    async with ctx.read() as tx:
        last = await last_seq(tx, workspace_id)
    if start is not None and not 0 <= start <= last:
        raise cursors.invalid("after")
    start = last if start is None else start

    async def events() -> AsyncIterator[Record]:
        # Closed at once with its follower: a feed that nobody follows any more must not go on.
        async with aclosing(ctx.feeds.follow(workspace_id, start)) as batches:
            async for batch in batches:
                wanted = [e for e in batch if note_id in (None, e.note_id) and (types is None or e.type in types)]
                for event in await visible(ctx, wanted):
                    yield event

    return events()


async def last_seq(tx: Transaction, workspace_id: UUID) -> int:
    found = await tx.execute(select(col(Workspace.last_seq)).where(col(Workspace.id) == workspace_id))
    return int(found.scalar_one())


async def visible(ctx: Context, events: Sequence[Record]) -> list[Record]:
    """Those of the events that the viewer may see at this moment. Raises when they have lost their place."""
    if not events:
        return []
    async with ctx.read() as tx:
        viewer = await standing(tx, ctx.me)
        known = select(col(Note.id), access.readable(viewer).label("readable")).where(
            col(Note.id).in_({event.note_id for event in events})
        )
        readable: dict[UUID, bool] = {row.id: row.readable for row in await tx.execute(known)}
    return [event for event in events if _may_see(viewer, event, readable.get(event.note_id))]


def _may_see(viewer: Viewer, event: Record, readable: bool | None) -> bool:
    """`readable` None: the note is gone, so the event itself says who could read it."""
    if event.owner_id is not None and event.owner_id != viewer.user_id:
        return False
    if readable is not None or event.note_id is None:
        return readable is not False
    told = event.payload.get("audience")
    if told is None:
        return event.owner_id is not None
    inside = event.workspace_id == viewer.workspace_id and (not told["private"] or viewer.role is Role.ADMIN)
    return inside or str(viewer.user_id) in told["users"]
