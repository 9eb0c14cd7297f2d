"""Checkpoints: the partial texts of running replies are stored and their leases renewed, many in one statement."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Text, Uuid, column, exists, func, literal
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Conversation, Message, Note
from models.conversation import MessageState
from resolvers.auth.access import note_readable_by_user
from resolvers.core.database import Database
from resolvers.core.leases import RENEWALS_PER_LEASE
from resolvers.replies.leases import RUNNING_REPLIES

if TYPE_CHECKING:
    from resolvers.replies.run import ReplyRun

RENEWAL_SECONDS = RUNNING_REPLIES.lease.total_seconds() / RENEWALS_PER_LEASE
"""Time after which a lease is renewed even if the text has not grown."""


def is_due(run: "ReplyRun") -> bool:
    """Whether the text has grown since the last checkpoint, or the lease must be renewed."""
    elapsed = asyncio.get_running_loop().time() - run.saved_at
    return run.publisher.length != run.saved_length or elapsed >= RENEWAL_SECONDS


async def save(database: Database, runs: Sequence["ReplyRun"]) -> set[UUID]:
    """Stores the texts of the replies and renews their leases.

    Returns the ids of those that are still running and whose user may still read the note.
    """
    texts = {run.message_id: run.publisher.text for run in runs}
    arrays = func.unnest(literal(list(texts), ARRAY(Uuid)), literal(list(texts.values()), ARRAY(Text)))
    rows = arrays.table_valued(column("id", Uuid), column("content", Text), name="texts").render_derived()
    saved = (
        change_rows(Message)
        .where(col(Message.id) == rows.c.id, col(Message.state) == MessageState.STREAMING, _is_permitted())
        .values(content=rows.c.content, lease_until=RUNNING_REPLIES.lease_end(), updated_at=func.now())
        .returning(col(Message.id))
    )
    async with database.engine.begin() as connection:
        saved_ids = set((await connection.execute(saved)).scalars())
    now = asyncio.get_running_loop().time()
    for run in runs:
        run.saved_length, run.saved_at = len(texts[run.message_id]), now
    return saved_ids


def _is_permitted() -> ColumnElement[bool]:
    """The condition on `messages` that the conversation's user may read the note."""
    return exists().where(
        col(Conversation.id) == col(Message.conversation_id),
        col(Note.id) == col(Conversation.note_id),
        note_readable_by_user(col(Conversation.user_id)),
    )
