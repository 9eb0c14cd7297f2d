"""How a reply ends: its row says so once, and whoever wrote that row tells the followers, once.

A reply has a lease for as long as its end is not told. Who clears the lease tells the terminal event: the process that
runs the reply, or the chore once that process is gone. A cancelled reply keeps its lease until then.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Conversation, EventType, Message
from models.base import Record
from models.conversation import MessageState
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.events.log import publish
from resolvers.replies.events import ReplyEvent

LOST = "The server lost this reply before it was complete."
CANCELLED = "The reply was cancelled."
GONE = "The conversation was deleted."
STOPPED = "The server was stopped before the answer was complete."
REVOKED = "You no longer have access to the document."


def running(message: Record) -> bool:
    """Whether a reply's terminal event is still to be told."""
    return message.lease_until is not None


async def close(
    tx: Transaction, conversation: Record, message_id: UUID, *, state: MessageState, error: str | None, **values: Any
) -> Record | None:
    """Writes the end of a reply, whose terminal event is the caller's to tell then. None: it has one, or is gone.

    One that was cancelled meanwhile gets its text and stays cancelled; its finish has been published.
    """
    was_cancelled = col(Message.state) == MessageState.CANCELLED
    values["state"] = case((was_cancelled, col(Message.state)), else_=state)
    values["error"] = case((was_cancelled, col(Message.error)), else_=error)
    mine = (col(Message.id) == message_id, col(Message.lease_until).is_not(None))
    ended = change_rows(Message).where(*mine).values(**values, lease_until=None, updated_at=func.now())
    row = (await tx.execute(ended.returning(Message))).one_or_none()
    if row is not None and row.state is not MessageState.CANCELLED:
        await finished(tx, conversation, message_id)
    return row


async def finished(tx: Transaction, conversation: Record, message_id: UUID) -> None:
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


async def exists(ctx: Context, message_id: UUID) -> bool:
    async with ctx.read() as tx:
        return (await tx.execute(select(col(Message.id)).where(col(Message.id) == message_id))).first() is not None


async def close_lost(ctx: Context, limit: int = 100) -> int:
    """A chore: ends the replies whose process is gone, with the text they had. Returns how many it closed."""
    lost = await _claim_lost(ctx, limit)
    for message in lost:
        await _close_lost(ctx, message)
    return len(lost)


async def _claim_lost(ctx: Context, limit: int) -> Sequence[Record]:
    """Takes over the leases that ran out. The claim commits first: a reply that can't be closed delays no other."""
    expired = (
        select(col(Message.id))
        .where(col(Message.lease_until) < func.now())
        .order_by(col(Message.lease_until))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    claimed = change_rows(Message).where(col(Message.id).in_(expired))
    async with ctx.transaction() as tx:
        renewed = claimed.values(lease_until=func.now() + ctx.limits.reply_lease).returning(Message)
        return (await tx.execute(renewed)).all()


async def _close_lost(ctx: Context, message: Record) -> None:
    """One transaction for each reply: it holds its workspace's row, and two workers that each hold one and wait for
    the other's would deadlock."""
    tokens = ctx.models.count_tokens(message.model_id, message.content)
    query = select(Conversation).where(col(Conversation.id) == message.conversation_id)
    async with ctx.transaction() as tx:
        conversation = (await tx.execute(query)).one_or_none()
        if conversation is None:  # deleted since the claim
            return
        row = await close(tx, conversation, message.id, state=MessageState.FAILED, error=LOST, token_count=tokens)
    if row is not None:
        await _publish_failure(ctx, row)


async def _publish_failure(ctx: Context, message: Record) -> None:
    last = await ctx.bus.last_reply_event(message.id)
    seq = ReplyEvent.decode(last).seq if last else 0
    event = ReplyEvent(seq + 1, "error", message.id, content=message.error)
    await ctx.bus.publish_reply(message.id, event.encode(), last=True)
