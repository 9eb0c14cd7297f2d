"""Sending a message: the message and an empty reply are committed before the model is called."""

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
from resolvers.conversations.conversations import publish_conversation_event
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, bad_input
from resolvers.core.idempotency import claim
from resolvers.core.ports.agents import ReplyRequest
from resolvers.replies.leases import RUNNING_REPLIES
from resolvers.replies.limits import check_limits
from resolvers.replies.run import ReplyRun


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that was sent, and the reply to it."""

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
    model_id = _model_id(ctx, draft)
    async with ctx.transaction() as tx:
        conversation = await access.require_conversation(tx, ctx.viewer, conversation_id, lock=True)
        if draft.note_id is not None:
            await access.require_note(tx, ctx.viewer, draft.note_id, Right.READ)
        search_note_id = draft.note_id if "note_id" in draft.model_fields_set else conversation.note_id
        request = _request(ctx, conversation, draft, model_id, search_note_id or conversation.note_id)
        operation = f"sendMessage {conversation_id} {search_note_id}"
        reply_id = await claim(tx, ctx.viewer, key, request.reply_id, operation=operation, draft=draft)
        if reply_id != request.reply_id:
            return await _read_sent(tx, reply_id)
        await _check_no_reply_runs(tx, conversation)
        await check_limits(ctx, tx, conversation)
        sent = await _store(tx, conversation, request)
    ctx.reply_runner.start(ReplyRun(request, conversation, grounded=search_note_id is not None))
    return sent


def _model_id(ctx: Context, draft: MessageDraft) -> str:
    model_id = draft.model_id or ctx.models.default_id
    if all(card.id != model_id for card in ctx.models.cards):
        raise bad_input("modelId", f"Unknown model {model_id!r}.")
    return model_id


def _request(ctx: Context, conversation: Record, draft: MessageDraft, model_id: str, note_id: UUID) -> ReplyRequest:
    # The ids are made in this order because messages of the same moment are sorted by their ids.
    message_id, reply_id = new_id(), new_id()
    return ReplyRequest(
        ctx=ctx,
        text=draft.message,
        note_id=note_id,
        agent_type=draft.agent_type,
        model_id=model_id,
        document=draft.document_context,
        conversation_id=conversation.id,
        message_id=message_id,
        reply_id=reply_id,
    )


async def _check_no_reply_runs(tx: Transaction, conversation: Record) -> None:
    # The conversation's row is locked: no other message can be stored between this check and the insert.
    running = select(col(Message.id)).where(
        col(Message.conversation_id) == conversation.id, col(Message.state) == MessageState.STREAMING
    )
    if (await tx.execute(running)).first() is not None:
        raise Problem(ErrorCode.ALREADY_REPLYING, "A reply is still running in this conversation.")


async def _store(tx: Transaction, conversation: Record, request: ReplyRequest) -> SentMessage:
    ctx = request.ctx
    user_message = await _insert(tx, conversation, _user_message(request))
    reply = await _insert(tx, conversation, _reply(request))
    used = change_rows(Conversation).where(col(Conversation.id) == conversation.id).values(updated_at=func.now())
    await tx.execute(used)
    await publish_conversation_event(ctx, tx, conversation, EventType.MESSAGE_CREATED, message=user_message.id)
    await publish_conversation_event(ctx, tx, conversation, EventType.REPLY_STARTED, message=reply.id)
    return SentMessage(user_message, reply)


def _user_message(request: ReplyRequest) -> dict[str, Any]:
    return {
        "id": request.message_id,
        "role": MessageRole.USER,
        "content": request.text,
        "state": MessageState.DONE,
        "token_count": request.ctx.models.count_tokens(request.model_id, request.text),
    }


def _reply(request: ReplyRequest) -> dict[str, Any]:
    return {
        "id": request.reply_id,
        "role": MessageRole.ASSISTANT,
        "state": MessageState.STREAMING,
        "model_id": request.model_id,
        "lease_until": RUNNING_REPLIES.lease_end(),
    }


async def _insert(tx: Transaction, conversation: Record, values: Mapping[str, Any]) -> Record:
    owner = {"workspace_id": conversation.workspace_id, "conversation_id": conversation.id}
    return (await tx.execute(insert(Message).values(**owner, **values).returning(Message))).one()


async def _read_sent(tx: Transaction, reply_id: UUID) -> SentMessage:
    """Returns the messages of an earlier call. They were written in one transaction, so they have the same time."""
    reply = (await tx.execute(select(Message).where(col(Message.id) == reply_id))).one()
    user_message = select(Message).where(
        col(Message.conversation_id) == reply.conversation_id,
        col(Message.created_at) == reply.created_at,
        col(Message.role) == MessageRole.USER,
    )
    return SentMessage((await tx.execute(user_message)).one(), reply)
