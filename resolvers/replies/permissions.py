"""The permission check of a reply's subscribers while the reply is streamed."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from models.base import Record
from resolvers.auth import access
from resolvers.auth.access import Right
from resolvers.core.context import Context
from resolvers.core.ports.event_feeds import Permissions
from resolvers.core.viewer import Viewer
from resolvers.replies.events import ReplyEvent

CHECK_SECONDS = 1.0
"""Time after which a subscriber's permissions are read again, when the next event arrives."""


async def while_permitted(
    ctx: Context, conversation: Record, events: AsyncGenerator[ReplyEvent, None]
) -> AsyncGenerator[ReplyEvent, None]:
    """Yields the events until the viewer loses their key, their membership or the right to read the note.

    Then it raises the Problem of the permission check. Events are not held back while the permissions are read, which
    takes as long as the database is away.
    """
    checked_at, pending = time.monotonic(), None
    try:
        async with aclosing(events) as stream:
            async for event in stream:
                if pending is not None and pending.done():
                    _check(ctx.viewer, conversation.note_id, pending.result())
                    checked_at, pending = time.monotonic(), None
                elif pending is None and time.monotonic() - checked_at > CHECK_SECONDS:
                    pending = asyncio.create_task(_read_permissions(ctx, conversation))
                yield event
    finally:
        if pending is not None:
            pending.cancel()


async def _read_permissions(ctx: Context, conversation: Record) -> Permissions:
    permissions = ctx.event_feeds.permissions
    return await permissions.read(ctx.viewer, conversation.workspace_id, (conversation.note_id,))


def _check(viewer: Viewer, note_id: UUID, permissions: Permissions) -> None:
    permissions.require_access(viewer)
    note = permissions.note(viewer, note_id)
    # If the note was deleted, the reply's own last event says so.
    if note is not None:
        access.check_note_right(viewer, note, Right.READ)
