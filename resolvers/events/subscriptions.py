"""Subscriptions to the event log: every event once, in order, to viewers who may see it at the moment of its delivery.

A stream ends, apart from its subscriber leaving, with CURSOR_EXPIRED when the log no longer reaches back to its cursor,
UNAUTHENTICATED when the API key is revoked, and FORBIDDEN when the membership ends. A note's stream also ends with the
note's deletion (its last event), and with NOT_FOUND or FORBIDDEN when the viewer may no longer read the note. Each is
noticed with the workspace's next event of any type, and without one after `feed.SILENCE_SECONDS`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from models import EventType, Workspace
from models.base import Record
from resolvers.auth import access
from resolvers.auth.access import Right
from resolvers.core import cursors
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import not_found
from resolvers.core.ports.event_feeds import Permissions, Subscriber
from resolvers.events import log as event_log
from resolvers.events.audience import can_see
from resolvers.events.feed import cursor_expired

PERMISSIONS_MAX_AGE_SECONDS = 1.0
"""Seconds for which permissions hold while a slow subscriber takes the events of one batch."""


async def subscribe_to_workspace(
    ctx: Context, *, types: Sequence[EventType] | None = None, after: str | None = None
) -> AsyncGenerator[Record, None]:
    """The events of the viewer's workspace, from now or after a cursor. Refusals are raised before the first event.

    Raises BAD_USER_INPUT for a cursor of another log, CURSOR_EXPIRED for one that is older than the log.
    """
    access.require_scope(ctx.viewer, "notes")
    async with ctx.read() as tx:
        start = await _start_position(tx, ctx.viewer.workspace_id, after)
    return _events(ctx, start, EventFilter(None, types))


async def subscribe_to_note(ctx: Context, note_id: UUID, *, after: str | None = None) -> AsyncGenerator[Record, None]:
    """A note's events, up to its deletion.

    Raises what `access.require_note` raises, and what `subscribe_to_workspace` raises for a cursor.
    """
    async with ctx.read() as tx:
        note = await access.require_note(tx, ctx.viewer, note_id, Right.READ)
        start = await _start_position(tx, note.workspace_id, after)
    return _events(ctx, start, EventFilter(note_id, None))


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A position in a workspace's log: after `seq`, while `last` was the last event."""

    workspace_id: UUID
    seq: int
    last: int


async def _start_position(tx: Transaction, workspace_id: UUID, after: str | None) -> LogPosition:
    seq = event_log.position(workspace_id, after)
    bounds = select(col(Workspace.first_seq), col(Workspace.last_seq)).where(col(Workspace.id) == workspace_id)
    first, last = (await tx.execute(bounds)).one()
    if seq is not None and not 0 <= seq <= last:
        raise cursors.invalid("after")
    if seq is not None and seq + 1 < first:
        raise cursor_expired()
    return LogPosition(workspace_id, last if seq is None else seq, last)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The events that a subscription selects: of one note, or of some types; None selects all."""

    note_id: UUID | None
    types: Sequence[EventType] | None

    def __contains__(self, event: Record) -> bool:
        return self.note_id in {None, event.note_id} and (self.types is None or event.type in self.types)


async def _events(ctx: Context, start: LogPosition, selected: EventFilter) -> AsyncGenerator[Record, None]:
    subscriber = Subscriber(ctx.viewer, start.workspace_id, selected.note_id)
    # Closed together with this stream: a feed without subscribers must not go on.
    async with aclosing(ctx.event_feeds.subscribe(subscriber, start.seq, start.last)) as batches:
        async for batch in batches:
            events = [event for event in batch.events if event in selected]
            permissions = await _current_permissions(ctx, subscriber, events, batch.permissions)
            for number, event in enumerate(events):
                if number and not _is_fresh(permissions):
                    permissions = await _current_permissions(ctx, subscriber, events[number:])
                visible = can_see(ctx.viewer, event, permissions)
                if visible:
                    if number:
                        # A subscriber with many events to catch up on must not block the event loop.
                        await asyncio.sleep(0)
                    yield event
                if selected.note_id and event.type is EventType.NOTE_DELETED:
                    if visible:
                        return
                    raise not_found("Note", event.note_id)


def _is_fresh(permissions: Permissions) -> bool:
    return time.monotonic() - permissions.read_at <= PERMISSIONS_MAX_AGE_SECONDS


async def _current_permissions(
    ctx: Context, subscriber: Subscriber, events: Sequence[Record], permissions: Permissions | None = None
) -> Permissions:
    """The permissions that decide who may see the events: those that were read already, if they cover them.

    Raises if the viewer may no longer subscribe at all.
    """
    viewer, workspace_id, note_id = ctx.viewer, subscriber.workspace_id, subscriber.note_id
    note_ids = {event.note_id for event in events if event.note_id} | ({note_id} if note_id else set())
    if permissions is None or not _is_fresh(permissions) or not permissions.covers(viewer, workspace_id, note_ids):
        permissions = await ctx.event_feeds.permissions.read(viewer, workspace_id, note_ids)
    permissions.require_access(viewer)
    note = permissions.note(viewer, note_id)
    if note is not None:
        access.check_note_right(viewer, note, Right.READ)
    return permissions
