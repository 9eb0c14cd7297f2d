"""Sending a message: both messages are committed before the model is called."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Conversation, EventType, Message
from models.base import Record, new_id
from models.conversation import MessageDraft, MessageRole, MessageState
from resolvers import access
from resolvers.access import Right
from resolvers.context import Context, Transaction
from resolvers.conversations import tell
from resolvers.errors import Code, Problem, bad_input
from resolvers.replies.agents import Question
from resolvers.replies.run import Run


@dataclass(frozen=True, slots=True)
class Sent:
    user_message: Record
    reply: Record


async def send(ctx: Context, conversation_id: UUID, draft: MessageDraft) -> Sent:
    """Stores the message and an empty reply, starts the reply in this process, and returns.

    A draft without `note_id` searches around the conversation's own note, one with None searches nothing.
    Raises NOT_FOUND, FORBIDDEN, ALREADY_REPLYING, BAD_USER_INPUT for a model that is not offered.
    """
    model_id = _model(ctx, draft.model_id)
    tokens = ctx.models.count_tokens(model_id, draft.message)
    async with ctx.transaction() as tx:
        conversation = await access.conversation(tx, ctx.me, conversation_id, lock=True)
        if draft.note_id is not None:
            await access.note(tx, ctx.me, draft.note_id, Right.READ)
        await _refuse_second(tx, conversation)
        place = {"workspace_id": conversation.workspace_id, "conversation_id": conversation.id}
        asked = {"role": MessageRole.USER, "content": draft.message, "state": MessageState.DONE, "token_count": tokens}
        user_message = await _insert(tx, **place, **asked)
        answered = {"role": MessageRole.ASSISTANT, "state": MessageState.STREAMING, "model_id": model_id}
        lease = func.now() + ctx.limits.reply_lease
        reply = await _insert(tx, **place, **answered, agent_type=draft.agent_type, lease_until=lease)
        used = change_rows(Conversation).where(col(Conversation.id) == conversation.id).values(updated_at=func.now())
        await tx.execute(used)
        await tell(ctx, tx, conversation, EventType.MESSAGE_CREATED, message=user_message.id)
        await tell(ctx, tx, conversation, EventType.REPLY_STARTED, message=reply.id)
    grounded = draft.note_id is not None or "note_id" not in draft.model_fields_set
    question = Question(
        ctx=ctx,
        text=draft.message,
        note_id=draft.note_id or conversation.note_id,
        agent_type=draft.agent_type,
        model_id=model_id,
        document=draft.document_context,
    )
    ctx.runs.start(Run(question, conversation, user_message.id, reply.id, grounded=grounded))
    return Sent(user_message, reply)


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
        raise Problem(Code.ALREADY_REPLYING, "A reply is still running in this conversation.")


async def _insert(tx: Transaction, **values: object) -> Record:
    return (await tx.execute(insert(Message).values(id=new_id(), **values).returning(Message))).one()
