"""The end of a reply: its row says once how it ended, and whoever wrote that publishes the terminal event.

A reply has a lease until its terminal event may be published. Whoever clears the lease publishes that event: the
process that runs the reply, or a worker if that process has died. A cancelled reply keeps its lease until then.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Conversation, EventType, Message
from models.base import Record
from models.conversation import MessageState
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.failures import is_outage, report_failure
from resolvers.events.log import publish
from resolvers.replies.events import ReplyEvent
from resolvers.replies.leases import RUNNING_REPLIES

LOST = "The server lost this reply before it was complete."
CANCELLED = "The reply was cancelled."
DELETED = "The conversation was deleted."
STOPPED = "The server was stopped before the answer was complete."
REVOKED = "You no longer have access to the document."


def is_running(message: Record) -> bool:
    """Whether the terminal event of a reply is still to be published."""
    return message.lease_until is not None


async def close(
    tx: Transaction,
    conversation: Record,
    message_id: UUID,
    *conditions: ColumnElement[bool],
    state: MessageState,
    error: str | None,
    **values: Any,
) -> Record | None:
    """Writes the end of a reply; the caller then publishes its terminal event.

    Returns None if the reply has ended already, was deleted, or no longer meets the conditions. A reply that was
    cancelled while it ran gets its text and stays cancelled; `cancel` has published that it finished.
    """
    was_cancelled = col(Message.state) == MessageState.CANCELLED
    values["state"] = case((was_cancelled, col(Message.state)), else_=state)
    values["error"] = case((was_cancelled, col(Message.error)), else_=error)
    running = (col(Message.id) == message_id, col(Message.lease_until).is_not(None), *conditions)
    ended = change_rows(Message).where(*running).values(**values, lease_until=None, updated_at=func.now())
    row = (await tx.execute(ended.returning(Message))).one_or_none()
    if row is not None and row.state is not MessageState.CANCELLED:
        await publish_finished(tx, conversation, message_id)
    return row


async def publish_finished(tx: Transaction, conversation: Record, message_id: UUID) -> None:
    """Appends the event `reply.finished` to the workspace's log."""
    await publish(
        tx,
        None,
        EventType.REPLY_FINISHED,
        workspace_id=conversation.workspace_id,
        note_id=conversation.note_id,
        owner_id=conversation.user_id,
        conversation=str(conversation.id),
        message=str(message_id),
    )


async def message_exists(ctx: Context, message_id: UUID) -> bool:
    async with ctx.read() as tx:
        return (await tx.execute(select(col(Message.id)).where(col(Message.id) == message_id))).first() is not None


async def close_lost(ctx: Context, limit: int = 100) -> int:
    """Ends the replies whose process has died, with the text that they had. A chore; returns how many it claimed.

    The claim commits first, so that a reply that can't be ended delays no other.
    """
    lost = select(col(Message.id)).where(RUNNING_REPLIES.is_expired()).order_by(col(Message.lease_until))
    messages = await RUNNING_REPLIES.claim(ctx, lost, limit, [Message])
    for message in sorted(
        messages, key=lambda message: message.created_at
    ):  # oldest first: a claim returns them in any order
        try:
            await _close_lost(ctx, message)
        except Exception as error:
            if is_outage(error):
                raise
            report_failure("reply.close_failed", error, message_id=str(message.id))
    return len(messages)


async def _close_lost(ctx: Context, message: Record) -> None:
    """Ends one reply in a transaction of its own.

    It holds the workspace's row; if it held the rows of several workspaces, two workers could deadlock.
    """
    tokens = ctx.models.count_tokens(message.model_id, message.content)
    query = select(Conversation).where(col(Conversation.id) == message.conversation_id)
    async with ctx.transaction() as tx:
        conversation = (await tx.execute(query)).one_or_none()
        if conversation is None:  # It was deleted after the claim.
            return
        # A process that was only slow may have renewed its lease since the claim: then the reply goes on.
        is_claimed = col(Message.lease_until) == message.lease_until
        row = await close(
            tx, conversation, message.id, is_claimed, state=MessageState.FAILED, error=LOST, token_count=tokens
        )
    if row is not None:
        await _publish_failure(ctx, row)


async def _publish_failure(ctx: Context, message: Record) -> None:
    last = await ctx.bus.last_reply_event(message.id)
    seq = ReplyEvent.decode(last).seq if last else 0
    event = ReplyEvent(seq + 1, "error", message.id, content=message.error)
    await ctx.bus.publish_reply(message.id, event.encode(), last=True)
