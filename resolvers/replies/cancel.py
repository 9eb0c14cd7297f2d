"""Cancelling a reply, from any process: its row says so at once, then the process that runs the reply ends it."""

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
from resolvers.replies.ending import CANCELLED, is_running, publish_finished

POLL_DELAYS_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""The times between two looks at a cancelled reply's row; their sum is how long a cancel waits for its final text."""


async def cancel(ctx: Context, message_id: UUID) -> Record:
    """Stops a running reply, which keeps the text that it has; one that has ended does not change.

    The conversation takes the next message at once. The returned message has its final text, unless the process that
    ran the reply has died. Raises NOT_FOUND for a message that is not a reply.
    """
    access.require_scope(ctx.viewer, "notes", write=True)
    async with ctx.transaction() as tx:
        message, conversation = await access.require_message(tx, ctx.viewer, message_id)
        if message.role is not MessageRole.ASSISTANT:
            raise not_found("Message", message_id)
        cancelled_id = await _mark_cancelled(tx, conversation, col(Message.id) == message_id)
    if cancelled_id is not None:
        await ctx.bus.publish_cancellation(cancelled_id)
    return await _wait_for_end(ctx, message_id)


async def cancel_in_conversation(ctx: Context, conversation_id: UUID) -> None:
    """Stops the running reply of a conversation, if there is one. See `cancel`."""
    access.require_scope(ctx.viewer, "notes", write=True)
    async with ctx.transaction() as tx:
        conversation = await access.require_conversation(tx, ctx.viewer, conversation_id)
        cancelled_id = await _mark_cancelled(tx, conversation, col(Message.conversation_id) == conversation_id)
    if cancelled_id is not None:
        await ctx.bus.publish_cancellation(cancelled_id)
        await _wait_for_end(ctx, cancelled_id)


async def _mark_cancelled(tx: Transaction, conversation: Record, condition: ColumnElement[bool]) -> UUID | None:
    """Returns the id of the reply that was running and is cancelled now, None if no reply was running."""
    running = change_rows(Message).where(condition, col(Message.state) == MessageState.STREAMING)
    cancelled = running.values(state=MessageState.CANCELLED, error=CANCELLED, updated_at=func.now())
    message_id: UUID | None = (await tx.execute(cancelled.returning(col(Message.id)))).scalar_one_or_none()
    if message_id is not None:
        await publish_finished(tx, conversation, message_id)
    return message_id


async def _wait_for_end(ctx: Context, message_id: UUID) -> Record:
    """Returns the message once the end of the reply is stored, or as it is after the last look."""
    row = await _read(ctx, message_id)
    for delay in POLL_DELAYS_SECONDS:
        if not is_running(row):
            break
        await asyncio.sleep(delay)
        row = await _read(ctx, message_id)
    return row


async def _read(ctx: Context, message_id: UUID) -> Record:
    async with ctx.read() as tx:
        row = (await tx.execute(select(Message).where(col(Message.id) == message_id))).one_or_none()
    if row is None:
        raise not_found("Message", message_id)
    return row
