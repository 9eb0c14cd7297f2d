"""Following the event log: every event once, in order, to those who may see it at the moment of its delivery.

What ends a stream, beside its follower: a cursor that the log no longer reaches back to (CURSOR_EXPIRED), a key that
was revoked (UNAUTHENTICATED), a membership that is gone (FORBIDDEN), and for a note's events that the note was deleted
(its last event), or is no longer the follower's to read (NOT_FOUND, FORBIDDEN). Each is noticed with the workspace's
next event, whatever that is, and without one after `feeds.QUIET` seconds.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from models import EventType, Role, Workspace
from models.base import Record
from resolvers.auth import access
from resolvers.auth.access import Right
from resolvers.core import cursors
from resolvers.core.context import Context, Transaction, Viewer
from resolvers.core.errors import not_found
from resolvers.events import log as event_log
from resolvers.events.feed import Subscriber, expired
from resolvers.events.permissions import PermissionSnapshot

FRESH = 1.0
"""Seconds for which a check holds while a slow follower takes the events of one batch."""


async def subscribe_to_workspace(
    ctx: Context, *, types: Sequence[EventType] | None = None, after: str | None = None
) -> AsyncGenerator[Record, None]:
    """The viewer's workspace's events, from now or after a cursor. What is refused is refused before the first event.

    Raises BAD_USER_INPUT for another log's cursor, CURSOR_EXPIRED for one that is older than the log.
    """
    access.require_scope(ctx.viewer, "notes")
    async with ctx.read() as tx:
        place = await _place(tx, ctx.viewer.workspace_id, after)
    return _following(ctx, place, _Wanted(None, types))


async def subscribe_to_note(ctx: Context, note_id: UUID, *, after: str | None = None) -> AsyncGenerator[Record, None]:
    """A note's events, up to its deletion.

    Raises what `access.require_note` raises, and what `subscribe_to_workspace` raises for a cursor.
    """
    async with ctx.read() as tx:
        note = await access.require_note(tx, ctx.viewer, note_id, Right.READ)
        place = await _place(tx, note.workspace_id, after)
    return _following(ctx, place, _Wanted(note_id, None))


@dataclass(frozen=True, slots=True)
class _Place:
    """In a workspace's log: after `seq`, where `last` was the last event."""

    workspace_id: UUID
    seq: int
    last: int


async def _place(tx: Transaction, workspace_id: UUID, after: str | None) -> _Place:
    seq = event_log.position(workspace_id, after)
    bounds = select(col(Workspace.first_seq), col(Workspace.last_seq)).where(col(Workspace.id) == workspace_id)
    first, last = (await tx.execute(bounds)).one()
    if seq is not None and not 0 <= seq <= last:
        raise cursors.invalid("after")
    if seq is not None and seq + 1 < first:
        raise expired()
    return _Place(workspace_id, last if seq is None else seq, last)


@dataclass(frozen=True, slots=True)
class _Wanted:
    note_id: UUID | None
    types: Sequence[EventType] | None

    def __contains__(self, event: Record) -> bool:
        return self.note_id in {None, event.note_id} and (self.types is None or event.type in self.types)


async def _following(ctx: Context, place: _Place, wanted: _Wanted) -> AsyncGenerator[Record, None]:
    follower = Subscriber(ctx.viewer, place.workspace_id, wanted.note_id)
    # Closed at once with its follower: a feed that nobody follows any more must not go on.
    async with aclosing(ctx.event_feeds.subscribe(follower, place.seq, place.last)) as batches:
        async for batch in batches:
            mine = [event for event in batch.events if event in wanted]
            facts = await _checked(ctx, follower, mine, batch.facts)
            for number, event in enumerate(mine):
                if number and not _is_fresh(facts):
                    facts = await _checked(ctx, follower, mine[number:])
                seen = may_see(ctx.viewer, event, facts)
                if seen:
                    if number:
                        # Who has much to catch up with must not keep everybody else waiting.
                        await asyncio.sleep(0)
                    yield event
                if wanted.note_id and event.type is EventType.NOTE_DELETED:
                    if seen:
                        return
                    raise not_found("Note", event.note_id)


def _is_fresh(facts: PermissionSnapshot) -> bool:
    return time.monotonic() - facts.at <= FRESH


async def _checked(
    ctx: Context, follower: Subscriber, batch: Sequence[Record], known: PermissionSnapshot | None = None
) -> PermissionSnapshot:
    """What tells who may see the events: what is known of that already, if it will do. Raises where the viewer may no
    longer follow at all."""
    viewer, place, followed = ctx.viewer, follower.workspace_id, follower.note_id
    noted = {event.note_id for event in batch if event.note_id} | ({followed} if followed else set())
    facts = known
    if facts is None or not _is_fresh(facts) or not facts.asked.covers(viewer, place, noted):
        facts = await ctx.event_feeds.permissions.read(viewer, place, noted)
    facts.check(viewer)
    note = facts.note(viewer, followed)
    if note is not None:
        access.check_note_right(viewer, note, Right.READ)
    return facts


def may_see(viewer: Viewer, event: Record, facts: PermissionSnapshot) -> bool:
    if event.owner_id is not None and event.owner_id != viewer.user_id:
        return False
    role = facts.role(viewer, event.workspace_id)
    if "webhook" in event.payload:
        return role is Role.ADMIN and access.has_scope(viewer, "webhooks")
    if event.note_id is None:
        return True
    note = facts.note(viewer, event.note_id)
    return _could_read(viewer, event, role) if note is None else facts.reads(viewer, note)


def _could_read(viewer: Viewer, event: Record, role: Role | None) -> bool:
    """The note is gone, so the event itself says who could read it."""
    told: dict[str, Any] | None = event.payload.get("audience")
    if told is None:
        return event.owner_id is not None
    inside = role is not None and (not told["private"] or role is Role.ADMIN)
    return inside or str(viewer.user_id) in told["users"]
