"""Whether those who follow a reply may still hear it."""

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

FRESH = 1.0
"""Seconds after which a follower is looked at again, while there is something to hear."""


async def admitted(
    ctx: Context, conversation: Record, events: AsyncGenerator[ReplyEvent, None]
) -> AsyncGenerator[ReplyEvent, None]:
    """The events, until the viewer has lost their key, their place or the note: raises what the gate does then.

    The reply does not wait for the look, which takes as long as the database is away.
    """
    looked, looking = time.monotonic(), None
    try:
        async with aclosing(events) as told:
            async for event in told:
                if looking is not None and looking.done():
                    _permit(ctx.viewer, conversation.note_id, looking.result())
                    looked, looking = time.monotonic(), None
                elif looking is None and time.monotonic() - looked > FRESH:
                    facts = ctx.event_feeds.permissions.read(
                        ctx.viewer, conversation.workspace_id, (conversation.note_id,)
                    )
                    looking = asyncio.create_task(facts)
                yield event
    finally:
        if looking is not None:
            looking.cancel()


def _permit(viewer: Viewer, note_id: UUID, facts: Permissions) -> None:
    facts.require_access(viewer)
    note = facts.note(viewer, note_id)
    # Of a note that is gone the reply itself tells, in its end.
    if note is not None:
        access.check_note_right(viewer, note, Right.READ)
