"""`/api/v1/ai/suggestions`: edits of a document that an agent or the caller proposed."""

from typing import Annotated

from pydantic import BaseModel, Field

from models.base import Id
from models.conversation import SuggestionDecision, SuggestionDraft, SuggestionStatus
from resolvers.conversations import suggestions
from rest_compat import ai_shapes, serializers
from rest_compat.ai_api import AI, BODY
from rest_compat.operations import does, reads
from rest_compat.request import Call


class NewSuggestion(SuggestionDraft):
    model_config = BODY
    note_id: Annotated[Id, Field(alias="document_id")]


class Decision(SuggestionDecision):
    model_config = BODY


class SuggestionsQuery(BaseModel):
    conversation_id: Id
    status: SuggestionStatus | None = None


async def create(call: Call, body: NewSuggestion) -> ai_shapes.Suggestion:
    """Proposes an edit of a conversation's document, which supersedes the open one."""
    return serializers.suggestion(await suggestions.create(call.ctx, body, call.idempotency_key))


async def listed(call: Call, query: SuggestionsQuery) -> list[ai_shapes.Suggestion]:
    """The newest 100 suggestions of a conversation, oldest first."""
    return [
        serializers.suggestion(row)
        for row in await suggestions.of_conversation(call.ctx, query.conversation_id, query.status)
    ]


async def decide(call: Call, body: Decision) -> ai_shapes.Suggestion:
    """Decides on an open suggestion; the document stays as it is, for the caller to change."""
    return serializers.suggestion(await suggestions.set_status(call.ctx, call.ident("Suggestion"), body.status))


ROUTES = [
    AI.route("/suggestions", GET=reads(listed), POST=does(create, 201)),
    AI.route("/suggestions/{id}/status", PATCH=does(decide)),
]
