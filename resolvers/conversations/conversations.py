"""Conversations about notes. Each belongs to one user, who must be able to read its note at every call."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, insert, select
from sqlalchemy import delete as remove
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Conversation, EventType, Message, Note
from models.base import Record, new_id
from models.conversation import ConversationDraft, MessageState
from resolvers.auth import access
from resolvers.auth.access import Right
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.idempotency import claim
from resolvers.core.nested_pages import Pages, read_pages
from resolvers.core.pagination import Order, PageArguments, check_limit_and_offset
from resolvers.events.log import publish

BY_USE = Order("conversation", col(Conversation.updated_at), col(Conversation.id), descending=True)
MESSAGES = select(Message).join(Conversation, col(Conversation.id) == col(Message.conversation_id))
BY_TIME = Order("message", col(Message.created_at), col(Message.id))


async def create_conversation(ctx: Context, draft: ConversationDraft, key: str | None = None) -> Record:
    """Creates a conversation about a note. A second call with the same idempotency key returns the first one."""
    viewer, conversation_id = ctx.viewer, new_id()
    access.require_scope(viewer, "notes", write=True)
    async with ctx.transaction() as tx:
        note = await access.require_note(tx, viewer, draft.note_id, Right.READ)
        created_id = await claim(tx, viewer, key, conversation_id, operation="createConversation", draft=draft)
        if created_id == conversation_id:
            values = {"workspace_id": note.workspace_id, "note_id": note.id, "user_id": viewer.user_id}
            values |= {"id": conversation_id, "title": draft.title}
            row = (await tx.execute(insert(Conversation).values(values).returning(Conversation))).one()
            await publish_conversation_event(ctx, tx, row, EventType.CONVERSATION_CREATED)
            return row
    return await get_conversation(ctx, created_id)


async def get_conversation(ctx: Context, conversation_id: UUID) -> Record:
    async with ctx.read() as tx:
        return await access.require_conversation(tx, ctx.viewer, conversation_id)


async def touch_conversation(ctx: Context, conversation_id: UUID) -> Record:
    """Marks the conversation as used just now, so that it is the first of its list."""
    return await _change(ctx, conversation_id, {})


async def rename_conversation(ctx: Context, conversation_id: UUID, title: str) -> Record:
    return await _change(ctx, conversation_id, {"title": title})


async def _change(ctx: Context, conversation_id: UUID, values: dict[str, Any]) -> Record:
    async with ctx.transaction() as tx:
        await access.require_conversation(tx, ctx.viewer, conversation_id, lock=True)
        # Not now(), the time when the transaction began: it may have waited for an earlier change of the row.
        changed = (
            change_rows(Conversation)
            .where(col(Conversation.id) == conversation_id)
            .values(**values, updated_at=func.clock_timestamp())
        )
        row = (await tx.execute(changed.returning(Conversation))).one()
        await publish_conversation_event(ctx, tx, row, EventType.CONVERSATION_UPDATED)
    return row


async def delete_conversation(ctx: Context, conversation_id: UUID) -> None:
    """Deletes a conversation with its messages and suggestions. A running reply ends with an error."""
    async with ctx.transaction() as tx:
        row = await access.require_conversation(tx, ctx.viewer, conversation_id, lock=True)
        await tx.execute(remove(Conversation).where(col(Conversation.id) == conversation_id))
        await publish_conversation_event(ctx, tx, row, EventType.CONVERSATION_DELETED)


async def publish_conversation_event(
    ctx: Context, tx: Transaction, conversation: Record, kind: EventType, **ids: UUID
) -> None:
    """Publishes an event about a conversation, which only its owner receives."""
    await publish(
        tx,
        ctx.viewer,
        kind,
        workspace_id=conversation.workspace_id,
        note_id=conversation.note_id,
        owner_id=conversation.user_id,
        conversation=str(conversation.id),
        **{name: str(ident) for name, ident in ids.items()},
    )


def _of_note(ctx: Context, note_id: Any) -> ColumnElement[bool]:
    return and_(col(Conversation.note_id) == note_id, access.conversation_owned_by(ctx.viewer))


async def list_conversations(ctx: Context, note_ids: Sequence[UUID], page_arguments: PageArguments) -> Pages:
    """A page of the viewer's own conversations about each of the notes, last used first."""

    def conversations_of(note_id: ColumnElement[UUID]) -> Select[Any]:
        return select(Conversation).where(_of_note(ctx, note_id))

    return await read_pages(ctx, access.note_parents(ctx.viewer, note_ids), conversations_of, BY_USE, page_arguments)


async def list_conversations_by_offset(
    ctx: Context, note_id: UUID, limit: int, offset: int
) -> tuple[Sequence[Record], int]:
    """The same by offset, and the number of all of them."""
    return await _page_by_offset(
        ctx, note_id, BY_USE.sorted(select(Conversation).where(_of_note(ctx, note_id))), limit, offset
    )


async def list_messages(ctx: Context, conversation_ids: Sequence[UUID], page_arguments: PageArguments) -> Pages:
    """A page of the messages of each of the conversations, oldest first."""

    def messages_of(conversation_id: ColumnElement[UUID]) -> Select[Any]:
        return select(Message).where(col(Message.conversation_id) == conversation_id)

    parents = access.conversation_parents(ctx.viewer, conversation_ids)
    return await read_pages(ctx, parents, messages_of, BY_TIME, page_arguments)


async def list_messages_by_offset(
    ctx: Context, conversation_id: UUID, limit: int | None, offset: int
) -> tuple[Sequence[Record], int]:
    """The same by offset, and the number of all of them. Without a limit, the list is complete."""
    query = select(Message).where(col(Message.conversation_id) == conversation_id)
    conversation = await get_conversation(ctx, conversation_id)
    return await _page_by_offset(ctx, conversation.note_id, BY_TIME.sorted(query), limit, offset)


async def _page_by_offset(
    ctx: Context, note_id: UUID, query: Select[Any], limit: int | None, offset: int
) -> tuple[Sequence[Record], int]:
    check_limit_and_offset(limit, offset)
    async with ctx.read() as tx:
        await access.require_note(tx, ctx.viewer, note_id, Right.READ)
        rows = (await tx.execute(query.limit(limit).offset(offset))).all()
        total = (await tx.execute(select(func.count()).select_from(query.order_by(None).subquery()))).scalar_one()
    return rows, total


async def find_conversations(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The viewer's own conversations with these ids whose notes they may read, by id."""
    return await _own(ctx, select(Conversation), col(Conversation.id).in_(list(ids)), "id")


async def find_messages(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The same for messages."""
    return await _own(ctx, MESSAGES, col(Message.id).in_(list(ids)), "id")


async def find_active_replies(ctx: Context, conversation_ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The replies that are running in these conversations, by conversation."""
    running = and_(
        col(Message.conversation_id).in_(list(conversation_ids)), col(Message.state) == MessageState.STREAMING
    )
    return await _own(ctx, MESSAGES, running, "conversation_id")


async def _own(ctx: Context, query: Select[Any], condition: ColumnElement[bool], key: str) -> Mapping[UUID, Record]:
    access.require_scope(ctx.viewer, "notes")
    query = query.join(Note, col(Note.id) == col(Conversation.note_id))
    async with ctx.read() as tx:
        rows = await tx.execute(
            query.where(condition, access.conversation_owned_by(ctx.viewer), access.note_readable_by(ctx.viewer))
        )
        return {getattr(row, key): row for row in rows}
