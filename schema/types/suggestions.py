"""Suggestions: edits of a note that an assistant proposes in a conversation."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import UNSET

from models.base import Record
from models.conversation import SuggestionDraft
from resolvers.conversations import suggestions
from schema.types.base import Info, Node, parse_id
from schema.types.enums import SuggestionStatus
from schema.types.inputs import to_draft
from schema.types.notes import Note

NEWEST = f"The newest {suggestions.MAX_LISTED}, oldest first."


@strawberry.type(
    description="A proposed edit of the conversation's note. Its status does not change the note: whoever accepts a "
    "suggestion applies it."
)
class Suggestion(Node):
    status: SuggestionStatus
    operation: str
    original_text: str | None
    suggested_text: str
    position_start: int | None
    position_end: int | None
    created_at: datetime
    updated_at: datetime

    @strawberry.field(
        graphql_type=Annotated["Message", strawberry.lazy("schema.types.conversations")] | None,  # noqa: F821 (lazy)
    )
    @staticmethod
    async def message(root: strawberry.Parent[Record], info: Info) -> Record | None:
        return await info.context.loaders.message.load(root.message_id) if root.message_id else None

    @strawberry.field(graphql_type=Note)
    @staticmethod
    async def note(root: strawberry.Parent[Record], info: Info) -> Record | None:
        return await info.context.loaders.note.load(root.note_id)


@strawberry.input
class CreateSuggestionInput:
    conversation_id: strawberry.ID
    note_id: strawberry.ID
    message_id: strawberry.ID | None = UNSET
    original_text: str | None = UNSET
    suggested_text: str
    position_start: int | None = UNSET
    position_end: int | None = UNSET


@strawberry.type
class SuggestionMutation:
    @strawberry.mutation(
        graphql_type=Suggestion,
        description="If the conversation has an open suggestion, that becomes SUPERSEDED.",
    )
    @staticmethod
    async def create_suggestion(info: Info, input: CreateSuggestionInput) -> Record:  # noqa: A002 (the contract's name)
        return await suggestions.create_suggestion(info.context.ctx, to_draft(SuggestionDraft, input))

    @strawberry.mutation(
        graphql_type=Suggestion,
        description="Refused with CONFLICT if another decision was already made. Does not change the note.",
    )
    @staticmethod
    async def set_suggestion_status(
        info: Info,
        id: strawberry.ID,  # noqa: A002 (the contract's name)
        status: SuggestionStatus,
    ) -> Record:
        return await suggestions.set_suggestion_status(info.context.ctx, parse_id("Suggestion", id), status)
