"""`/api/v1/ai`: the models, the conversations, and their replies as streams."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from starlette.requests import Request

from models.base import Id
from models.conversation import (
    AgentType,
    ContextText,
    ConversationDraft,
    ConversationRename,
    ConversationTitle,
    DocumentContextDraft,
    MessageDraft,
    SelectionDraft,
)
from resolvers import replies
from resolvers.conversations import conversations
from resolvers.core.pagination import MAX_PAGE_SIZE
from rest_compat import ai_shapes, serializers
from rest_compat.ai_api import AI, BODY, PUBLIC_AI
from rest_compat.errors import input_error
from rest_compat.operations import action_operation, delete_operation, list_operation
from rest_compat.request import Call
from rest_compat.sse import ReplyStream

Limit = Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)]
Offset = Annotated[int, Field(ge=0, le=2**63 - 1)]


class ConversationBody(ConversationDraft):
    model_config = BODY
    note_id: Annotated[Id, Field(alias="document_id")]
    title: Annotated[ConversationTitle | None, BeforeValidator(lambda title: None if title == "" else title)] = None


class ConversationUpdateBody(ConversationRename):
    model_config = BODY


class SelectionBody(SelectionDraft):
    model_config = BODY


class DocumentContextBody(DocumentContextDraft):
    model_config = BODY
    selection: SelectionBody | None = None


def _from_text(value: object) -> object:
    """Reads the older form of a document's context, which is its text alone."""
    return {"content_text": value} if isinstance(value, str) else value


ContextField = Annotated[
    DocumentContextBody | None,
    BeforeValidator(_from_text, json_schema_input_type=DocumentContextBody | ContextText | None),
]


def _known_agent(agent: object) -> object:
    """The agent, or None, which answers without an agent, for a name that this server does not have."""
    return agent if agent in list(AgentType) else None


AgentName = Annotated[str, Field(description="An unknown name answers without an agent.", examples=list(AgentType))]


class MessageBody(MessageDraft):
    model_config = BODY
    note_id: Annotated[Id | None, Field(alias="document_id")] = None
    agent_type: Annotated[AgentType | None, BeforeValidator(_known_agent, json_schema_input_type=AgentName | None)] = (
        None
    )
    document_context: ContextField = None

    @model_validator(mode="before")
    @classmethod
    def _search_only_with_document(cls, value: Any) -> Any:
        """A message without a document_id searches nothing: the resolvers read that from an explicit None."""
        return {"document_id": None, **value} if isinstance(value, dict) else value


class ConversationsQuery(BaseModel):
    document_id: Id
    limit: Limit = 50
    offset: Offset = 0


class MessagesQuery(BaseModel):
    limit: Limit | None = None
    offset: Offset = 0


class ReplyQuery(BaseModel):
    message_id: Id


async def models(call: Call) -> ai_shapes.ModelList:
    """Lists the language models. No credential is needed."""
    catalogue = call.ctx.models
    return {"models": [serializers.model(card) for card in catalogue.cards], "default_model_id": catalogue.default_id}


async def create(call: Call, body: ConversationBody) -> ai_shapes.Conversation:
    """Creates a conversation about a document."""
    return serializers.conversation(await conversations.create_conversation(call.ctx, body, call.idempotency_key))


async def page(call: Call, query: ConversationsQuery) -> ai_shapes.OffsetList[ai_shapes.ConversationSummary]:
    """Lists the caller's own conversations about a document, most recently used first."""
    rows, total = await conversations.list_conversations_by_offset(
        call.ctx, query.document_id, query.limit, query.offset
    )
    return {"items": [serializers.summary(row) for row in rows], "total": total}


async def get(call: Call) -> ai_shapes.Conversation:
    """Returns one of the caller's own conversations."""
    return serializers.conversation(await conversations.get_conversation(call.ctx, call.path_id("Conversation")))


async def rename(call: Call, body: ConversationUpdateBody) -> ai_shapes.Conversation:
    """Changes the title of a conversation."""
    return serializers.conversation(
        await conversations.rename_conversation(call.ctx, call.path_id("Conversation"), body.title)
    )


async def delete(call: Call) -> None:
    """Deletes a conversation with its messages and suggestions."""
    await conversations.delete_conversation(call.ctx, call.path_id("Conversation"))


async def touch(call: Call) -> None:
    """Moves a conversation to the top of its list."""
    await conversations.touch_conversation(call.ctx, call.path_id("Conversation"))


async def messages(call: Call, query: MessagesQuery) -> ai_shapes.OffsetList[ai_shapes.Message]:
    """Lists the messages of a conversation, oldest first."""
    rows, total = await conversations.list_messages_by_offset(
        call.ctx, call.path_id("Conversation"), query.limit, query.offset
    )
    return {"items": [serializers.message(row) for row in rows], "total": total}


async def ask(call: Call, body: MessageBody) -> ReplyStream:
    """Sends a message and streams the reply as server-sent events."""
    with call.counted_connection() as counted:
        reply = (await replies.send(call.ctx, call.path_id("Conversation"), body, call.idempotency_key)).reply
        events = await replies.subscribe(call.ctx, reply.id)
        return ReplyStream(call.ctx, reply.id, events, counted=counted.pop_all())


async def cancel(call: Call) -> None:
    """Cancels the running reply of a conversation and keeps its text so far. Does nothing when no reply is running."""
    await replies.cancel_in_conversation(call.ctx, call.path_id("Conversation"))


async def join(call: Call, query: ReplyQuery) -> ReplyStream:
    """Streams a reply that is running or has ended, from the start or after the event in `Last-Event-ID`."""
    message_id, after = query.message_id, last_event_id(call.request)
    with call.counted_connection() as counted:
        conversation = await conversations.get_conversation(call.ctx, call.path_id("Conversation"))
        events = await replies.subscribe(call.ctx, message_id, after, conversation_id=conversation.id)
        return ReplyStream(call.ctx, message_id, events, after=after, counted=counted.pop_all())


def last_event_id(request: Request) -> int:
    """The number in `Last-Event-ID`; 0, which is before the first event, without the header."""
    text = request.headers.get("Last-Event-ID", "").strip() or "0"
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise input_error(
            "int_parsing", ("header", "Last-Event-ID"), "Last-Event-ID must be the id of an event.", text[:20]
        )
    return int(text)


ROUTES = [
    PUBLIC_AI.route("/models", GET=list_operation(models)),
    AI.route("/conversations", GET=list_operation(page), POST=action_operation(create, 201)),
    AI.route(
        "/conversations/{id}",
        GET=list_operation(get),
        PATCH=action_operation(rename),
        DELETE=delete_operation(delete, 204),
    ),
    AI.route("/conversations/{id}/messages", GET=list_operation(messages)),
    AI.route("/conversations/{id}/touch", POST=action_operation(touch, 204)),
    AI.route("/conversations/{id}/stream", GET=list_operation(join), POST=action_operation(ask, is_idempotent=True)),
    AI.route("/conversations/{id}/cancel", POST=action_operation(cancel, 204)),
]
