"""Cancelling a reply, from any process: the row says so at once, then whoever runs the reply stops and ends it."""

import asyncio
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Message
from models.base import Record
from models.conversation import MessageRole, MessageState
from resolvers.auth import access
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import not_found
from resolvers.replies.ending import CANCELLED, finished, running

LOOKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between two looks for a cancelled reply's last words; their sum is how long a cancel waits for them."""


async def cancel(ctx: Context, message_id: UUID) -> Record:
    """Stops a running reply, which keeps what it has said; one that has ended stays as it is.

    Its conversation can be asked again at once. The message that is returned has its final text, but where the process
    that ran it is gone. Raises NOT_FOUND for what is no reply.
    """
    access.require_scope(ctx.viewer, "notes", write=True)
    async with ctx.transaction() as tx:
        message, conversation = await access.require_message(tx, ctx.viewer, message_id)
        if message.role is not MessageRole.ASSISTANT:
            raise not_found("Message", message_id)
        stopped = await _stop(tx, conversation, col(Message.id) == message_id)
    return await _settled(ctx, message_id, tell=stopped is not None)


async def cancel_in_conversation(ctx: Context, conversation_id: UUID) -> None:
    """The same for the reply that is running in a conversation; where none is, nothing happens."""
    access.require_scope(ctx.viewer, "notes", write=True)
    async with ctx.transaction() as tx:
        conversation = await access.require_conversation(tx, ctx.viewer, conversation_id)
        stopped = await _stop(tx, conversation, col(Message.conversation_id) == conversation_id)
    if stopped is not None:
        await _settled(ctx, stopped, tell=True)


async def _stop(tx: Transaction, conversation: Record, which: ColumnElement[bool]) -> UUID | None:
    """Returns the id of the reply that was running, and no longer is."""
    stopped = change_rows(Message).where(which, col(Message.state) == MessageState.STREAMING)
    values = {"state": MessageState.CANCELLED, "error": CANCELLED, "updated_at": func.now()}
    message_id: UUID | None = (await tx.execute(stopped.values(values).returning(col(Message.id)))).scalar_one_or_none()
    if message_id is not None:
        await finished(tx, conversation, message_id)
    return message_id


async def _settled(ctx: Context, message_id: UUID, *, tell: bool) -> Record:
    """The message as it is once its end was written, or after all the looks."""
    if tell:
        await ctx.bus.publish_cancellation(message_id)
    row = await _row(ctx, message_id)
    for pause in LOOKS:
        if not running(row):
            break
        await asyncio.sleep(pause)
        row = await _row(ctx, message_id)
    return row


async def _row(ctx: Context, message_id: UUID) -> Record:
    async with ctx.read() as tx:
        row = (await tx.execute(select(Message).where(col(Message.id) == message_id))).one_or_none()
    if row is None:
        raise not_found("Message", message_id)
    return row
