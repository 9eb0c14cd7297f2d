"""Suggestions: edits of a conversation's note, proposed by an agent or by the user's own program.

They belong to the conversation's user. Accepting a suggestion does not change the note: the editor applies the edit.
A conversation has at most one open suggestion, because a newer one supersedes it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Select, func, insert, select
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Conversation, EventType, Message, Note, Suggestion
from models.base import Record, new_id, strip_unstorable
from models.conversation import SuggestionDraft, SuggestionStatus
from models.limits import limit
from resolvers.auth import access
from resolvers.conversations.conversations import publish_conversation_event
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.drafts import parse_draft
from resolvers.core.errors import ErrorCode, Problem, bad_input, not_found
from resolvers.core.idempotency import claim

MAX_LISTED = limit(
    100, "Suggestions of a conversation or of a message in one list", area="Conversations", beyond="only the newest"
)


async def create_suggestion(ctx: Context, draft: SuggestionDraft, key: str | None = None) -> Record:
    """Proposes an edit of the conversation's note, and supersedes an open suggestion.

    A second call with the same idempotency key returns the first suggestion.

    Raises NOT_FOUND, FORBIDDEN, and BAD_USER_INPUT for another note than the conversation's, or a message that is not
    in it.
    """
    viewer, suggestion_id = ctx.viewer, new_id()
    async with ctx.transaction() as tx:
        conversation = await _lock_conversation(tx, ctx, draft.conversation_id)
        await _check(tx, conversation, draft)
        created_id = await claim(tx, viewer, key, suggestion_id, operation="createSuggestion", draft=draft)
        if created_id != suggestion_id:
            return (await access.require_suggestion(tx, viewer, created_id))[0]
        return await _propose(ctx, tx, conversation, {"id": suggestion_id, **draft.model_dump()})


async def propose_suggestion(
    ctx: Context,
    *,
    conversation_id: UUID,
    note_id: UUID,
    message_id: UUID,
    proposed_text: str,
    original_text: str | None,
    position_start: int | None,
    position_end: int | None,
) -> Record:
    """The same for an agent, whose reply the message is; committed when it returns.

    Raises as `create` does, and BAD_USER_INPUT for a text that is empty or too long.
    """
    values = {
        "conversationId": conversation_id,
        "noteId": note_id,
        "messageId": message_id,
        "suggestedText": strip_unstorable(proposed_text),
        "originalText": original_text if original_text is None else strip_unstorable(original_text),
        "positionStart": position_start,
        "positionEnd": position_end,
    }
    return await create_suggestion(ctx, parse_draft(SuggestionDraft, values))


async def _lock_conversation(tx: Transaction, ctx: Context, conversation_id: UUID) -> Record:
    """Locks the viewer's own conversation until the transaction ends."""
    # The note is locked first, in the order of those who delete a note. A suggestion refers to both.
    note = (
        select(col(Note.id))
        .join(Conversation, col(Conversation.note_id) == col(Note.id))
        .where(col(Conversation.id) == conversation_id, access.conversation_owned_by(ctx.viewer))
        .with_for_update(of=Note, read=True, key_share=True)
    )
    await tx.execute(note)
    return await access.require_conversation(tx, ctx.viewer, conversation_id, lock=True)


async def _check(tx: Transaction, conversation: Record, draft: SuggestionDraft) -> None:
    if draft.note_id != conversation.note_id:
        raise bad_input("noteId", "The conversation is about another note.")
    if draft.message_id is None:
        return
    in_conversation = (col(Message.id) == draft.message_id, col(Message.conversation_id) == conversation.id)
    if (await tx.execute(select(col(Message.id)).where(*in_conversation))).first() is None:
        raise bad_input("messageId", "There is no such message in the conversation.")


async def _propose(ctx: Context, tx: Transaction, conversation: Record, values: dict[str, Any]) -> Record:
    """Stores a suggestion of a conversation whose row is locked."""
    # Not now(), the time when the transaction began: it may have waited for an earlier suggestion.
    now = func.statement_timestamp()
    in_conversation = col(Suggestion.conversation_id) == conversation.id
    older = change_rows(Suggestion).where(in_conversation, col(Suggestion.status) == SuggestionStatus.PROPOSED)
    superseded = older.values(status=SuggestionStatus.SUPERSEDED, updated_at=now).returning(col(Suggestion.id))
    before = (await tx.execute(superseded)).scalars().all()
    values |= {"workspace_id": conversation.workspace_id, "status": SuggestionStatus.PROPOSED}
    values |= {"created_at": now, "updated_at": now}
    row = (await tx.execute(insert(Suggestion).values(values).returning(Suggestion))).one()
    for suggestion_id in before:
        await publish_conversation_event(ctx, tx, conversation, EventType.SUGGESTION_UPDATED, suggestion=suggestion_id)
    await publish_conversation_event(ctx, tx, conversation, EventType.SUGGESTION_CREATED, suggestion=row.id)
    return row


async def set_suggestion_status(ctx: Context, suggestion_id: UUID, status: SuggestionStatus) -> Record:
    """Sets the status of an open suggestion. Setting the same status again changes nothing. The note is not changed.

    Raises NOT_FOUND, FORBIDDEN, and CONFLICT if the suggestion has another final status.
    """
    this = col(Suggestion.id) == suggestion_id
    async with ctx.transaction() as tx:
        _, conversation = await access.require_suggestion(tx, ctx.viewer, suggestion_id, lock=True)
        # Read again, because another call may have set the status before the lock was acquired.
        row = await _execute_for_row(tx, suggestion_id, select(Suggestion).where(this))
        if row.status is status:
            return row
        if row.status is not SuggestionStatus.PROPOSED:
            raise Problem(ErrorCode.CONFLICT, f"The suggestion is {row.status} already: it can't become {status}.")
        decided = change_rows(Suggestion).where(this).values(status=status, updated_at=func.statement_timestamp())
        row = await _execute_for_row(tx, suggestion_id, decided.returning(Suggestion))
        await publish_conversation_event(ctx, tx, conversation, EventType.SUGGESTION_UPDATED, suggestion=suggestion_id)
    return row


async def _execute_for_row(tx: Transaction, suggestion_id: UUID, statement: Executable) -> Record:
    row = (await tx.execute(statement)).one_or_none()
    if row is None:  # deleted with its note since the right was checked
        raise not_found("Suggestion", suggestion_id)
    return row


async def get_suggestion(ctx: Context, suggestion_id: UUID) -> Record:
    async with ctx.read() as tx:
        return (await access.require_suggestion(tx, ctx.viewer, suggestion_id))[0]


async def find_suggestions(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The suggestions with these ids in the viewer's own conversations about notes they may read, by id."""
    access.require_scope(ctx.viewer, "notes")
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(_own(ctx).where(col(Suggestion.id).in_(list(ids))))}


def _own(ctx: Context) -> Select[Any]:
    return (
        select(Suggestion)
        .join(Conversation, col(Conversation.id) == col(Suggestion.conversation_id))
        .join(Note, col(Note.id) == col(Conversation.note_id))
        .where(access.conversation_owned_by(ctx.viewer), access.note_readable_by(ctx.viewer))
    )


async def list_suggestions(
    ctx: Context, conversation_id: UUID, status: SuggestionStatus | None = None
) -> Sequence[Record]:
    """The newest MAX_LISTED suggestions of a conversation, oldest first. `status` selects those of one status."""
    async with ctx.read() as tx:
        await access.require_conversation(tx, ctx.viewer, conversation_id)
        return (await tx.execute(_listed(ctx, col(Suggestion.conversation_id), [conversation_id], status))).all()


async def find_suggestions_of_conversations(
    ctx: Context, keys: Iterable[tuple[UUID, SuggestionStatus | None]]
) -> Mapping[tuple[UUID, SuggestionStatus | None], list[Record]]:
    """The same for several conversations, by conversation and status."""
    access.require_scope(ctx.viewer, "notes")
    ids_by_status: defaultdict[SuggestionStatus | None, list[UUID]] = defaultdict(list)
    for conversation_id, status in keys:
        ids_by_status[status].append(conversation_id)
    suggestions: defaultdict[tuple[UUID, SuggestionStatus | None], list[Record]] = defaultdict(list)
    async with ctx.read() as tx:
        for status, ids in ids_by_status.items():
            for row in await tx.execute(_listed(ctx, col(Suggestion.conversation_id), ids, status)):
                suggestions[row.conversation_id, status].append(row)
    return suggestions


async def find_suggestions_of_messages(ctx: Context, message_ids: Iterable[UUID]) -> Mapping[UUID, list[Record]]:
    """The newest MAX_LISTED suggestions of each of the messages in the viewer's conversations, oldest first."""
    access.require_scope(ctx.viewer, "notes")
    suggestions: defaultdict[UUID, list[Record]] = defaultdict(list)
    async with ctx.read() as tx:
        for row in await tx.execute(_listed(ctx, col(Suggestion.message_id), list(message_ids))):
            suggestions[row.message_id].append(row)
    return suggestions


def _listed(ctx: Context, parent: Any, ids: Sequence[UUID], status: SuggestionStatus | None = None) -> Select[Any]:
    """The newest suggestions of each parent with these ids, oldest first. `parent` is a column of suggestions."""
    newest_first = (col(Suggestion.created_at).desc(), col(Suggestion.id).desc())
    number = func.row_number().over(partition_by=parent, order_by=newest_first).label("number")
    numbered = select(col(Suggestion.id), number).where(parent.in_(ids))
    if status is not None:
        numbered = numbered.where(col(Suggestion.status) == status)
    listed = numbered.subquery()
    return (
        _own(ctx)
        .join(listed, listed.c.id == col(Suggestion.id))
        .where(listed.c.number <= MAX_LISTED)
        .order_by(col(Suggestion.created_at), col(Suggestion.id))
    )
