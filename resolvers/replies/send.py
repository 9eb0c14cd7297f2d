"""Sending a message: both messages are committed before the model is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Conversation, EventType, Message
from models.base import Record, new_id
from models.conversation import MessageDraft, MessageRole, MessageState
from resolvers.auth import access
from resolvers.auth.access import Right
from resolvers.conversations.conversations import tell
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, bad_input
from resolvers.core.idempotency import claim
from resolvers.core.ports.agents import ReplyRequest
from resolvers.replies.limits import make_room
from resolvers.replies.run import Run


@dataclass(frozen=True, slots=True)
class SentMessage:
    user_message: Record
    reply: Record


async def send(ctx: Context, conversation_id: UUID, draft: MessageDraft, key: str | None = None) -> SentMessage:
    """Stores the message and an empty reply, starts the reply in this process, and returns.

    A draft without `note_id` searches around the conversation's own note; one whose `note_id` is None searches nothing.
    With an idempotency key it happens once: a repeat gets the same messages in their current state.
    Raises NOT_FOUND, FORBIDDEN, ALREADY_REPLYING, RATE_LIMITED, BAD_USER_INPUT for a model that is not offered.
    """
    # A caller who is cancelled after the commit must not leave a reply that nobody runs.
    return await ctx.reply_runner.complete(_send(ctx, conversation_id, draft, key))


async def _send(ctx: Context, conversation_id: UUID, draft: MessageDraft, key: str | None) -> SentMessage:
    model_id = _model(ctx, draft.model_id)
    # In this order: messages of the same moment are sorted by their ids.
    user_message_id, reply_id = new_id(), new_id()
    asked = {"id": user_message_id, "role": MessageRole.USER, "content": draft.message, "state": MessageState.DONE}
    asked["token_count"] = ctx.models.count_tokens(model_id, draft.message)
    answered = {"id": reply_id, "role": MessageRole.ASSISTANT, "state": MessageState.STREAMING, "model_id": model_id}
    answered |= {"agent_type": draft.agent_type, "lease_until": func.now() + ctx.limits.reply_lease}
    async with ctx.transaction() as tx:
        conversation = await access.require_conversation(tx, ctx.viewer, conversation_id, lock=True)
        if draft.note_id is not None:
            await access.require_note(tx, ctx.viewer, draft.note_id, Right.READ)
        around = draft.note_id if "note_id" in draft.model_fields_set else conversation.note_id
        sending = f"sendMessage {conversation_id} {around}"
        made_id = await claim(tx, ctx.viewer, key, reply_id, operation=sending, draft=draft)
        if made_id != reply_id:
            return await _sent(tx, made_id)
        await _refuse_second(tx, conversation)
        await make_room(ctx, tx, conversation)
        sent = await _write(ctx, tx, conversation, asked, answered)
    question = ReplyRequest(
        ctx=ctx,
        text=draft.message,
        note_id=around or conversation.note_id,
        agent_type=draft.agent_type,
        model_id=model_id,
        document=draft.document_context,
        conversation_id=conversation.id,
        message_id=user_message_id,
        reply_id=reply_id,
    )
    ctx.reply_runner.start(Run(question, conversation, grounded=around is not None))
    return sent


async def _write(
    ctx: Context, tx: Transaction, conversation: Record, asked: Mapping[str, Any], answered: Mapping[str, Any]
) -> SentMessage:
    user_message, reply = [await _insert(tx, conversation, values) for values in (asked, answered)]
    used = change_rows(Conversation).where(col(Conversation.id) == conversation.id).values(updated_at=func.now())
    await tx.execute(used)
    await tell(ctx, tx, conversation, EventType.MESSAGE_CREATED, message=user_message.id)
    await tell(ctx, tx, conversation, EventType.REPLY_STARTED, message=reply.id)
    return SentMessage(user_message, reply)


async def _sent(tx: Transaction, reply_id: UUID) -> SentMessage:
    """What an earlier call has sent. The two messages were written in one transaction: they have its time."""
    reply = (await tx.execute(select(Message).where(col(Message.id) == reply_id))).one()
    asked = select(Message).where(
        col(Message.conversation_id) == reply.conversation_id,
        col(Message.created_at) == reply.created_at,
        col(Message.role) == MessageRole.USER,
    )
    return SentMessage((await tx.execute(asked)).one(), reply)


def _model(ctx: Context, wanted: str | None) -> str:
    model_id = wanted or ctx.models.default_id
    if all(card.id != model_id for card in ctx.models.cards):
        raise bad_input("modelId", f"Unknown model {model_id!r}.")
    return model_id


async def _refuse_second(tx: Transaction, conversation: Record) -> None:
    # The conversation's row is locked, so no other send can slip in between this look and the insert.
    running = select(col(Message.id)).where(
        col(Message.conversation_id) == conversation.id, col(Message.state) == MessageState.STREAMING
    )
    if (await tx.execute(running)).first() is not None:
        raise Problem(ErrorCode.ALREADY_REPLYING, "A reply is still running in this conversation.")


async def _insert(tx: Transaction, conversation: Record, values: Mapping[str, Any]) -> Record:
    place = {"workspace_id": conversation.workspace_id, "conversation_id": conversation.id}
    return (await tx.execute(insert(Message).values(**place, **values).returning(Message))).one()
