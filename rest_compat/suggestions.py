"""`/api/v1/ai/suggestions`: edits of a document that an agent or the caller proposes."""

from typing import Annotated

from pydantic import BaseModel, Field

from models.base import Id
from models.conversation import SuggestionDecision, SuggestionDraft, SuggestionStatus
from resolvers.conversations import suggestions
from rest_compat import ai_shapes, serializers
from rest_compat.ai_api import AI, BODY
from rest_compat.operations import action_operation, list_operation
from rest_compat.request import Call


class SuggestionBody(SuggestionDraft):
    model_config = BODY
    note_id: Annotated[Id, Field(alias="document_id")]


class SuggestionStatusBody(SuggestionDecision):
    model_config = BODY


class SuggestionsQuery(BaseModel):
    conversation_id: Id
    status: SuggestionStatus | None = None


async def create(call: Call, body: SuggestionBody) -> ai_shapes.Suggestion:
    """Creates a suggested edit of a conversation's document. It supersedes the open suggestion."""
    return serializers.suggestion(await suggestions.create_suggestion(call.ctx, body, call.idempotency_key))


async def list_of_conversation(call: Call, query: SuggestionsQuery) -> list[ai_shapes.Suggestion]:
    """Lists the newest 100 suggestions of a conversation, oldest first."""
    return [
        serializers.suggestion(row)
        for row in await suggestions.list_suggestions(call.ctx, query.conversation_id, query.status)
    ]


async def decide(call: Call, body: SuggestionStatusBody) -> ai_shapes.Suggestion:
    """Sets the status of an open suggestion. The document is not changed: the caller changes it."""
    return serializers.suggestion(
        await suggestions.set_suggestion_status(call.ctx, call.path_id("Suggestion"), body.status)
    )


ROUTES = [
    AI.route("/suggestions", GET=list_operation(list_of_conversation), POST=action_operation(create, 201)),
    AI.route("/suggestions/{id}/status", PATCH=action_operation(decide)),
]
