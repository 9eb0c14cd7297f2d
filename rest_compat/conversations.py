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
from rest_compat.errors import bad
from rest_compat.operations import does, reads, removes
from rest_compat.request import Call
from rest_compat.sse import ReplyStream

Limit = Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)]
Offset = Annotated[int, Field(ge=0, le=2**63 - 1)]


class NewConversation(ConversationDraft):
    model_config = BODY
    note_id: Annotated[Id, Field(alias="document_id")]
    title: Annotated[ConversationTitle | None, BeforeValidator(lambda title: None if title == "" else title)] = None


class Renamed(ConversationRename):
    model_config = BODY


class Selection(SelectionDraft):
    model_config = BODY


class DocumentContext(DocumentContextDraft):
    model_config = BODY
    selection: Selection | None = None


def _from_text(value: object) -> object:
    """The older form of a document's context is its bare text."""
    return {"content_text": value} if isinstance(value, str) else value


Context = Annotated[
    DocumentContext | None,
    BeforeValidator(_from_text, json_schema_input_type=DocumentContext | ContextText | None),
]


def _known(agent: object) -> object:
    """An agent that is not known here is the plain chat."""
    return agent if agent in list(AgentType) else None


AgentName = Annotated[str, Field(description="What is not known here is the plain chat.", examples=list(AgentType))]


class Question(MessageDraft):
    model_config = BODY
    note_id: Annotated[Id | None, Field(alias="document_id")] = None
    agent_type: Annotated[AgentType | None, BeforeValidator(_known, json_schema_input_type=AgentName | None)] = None
    document_context: Context = None

    @model_validator(mode="before")
    @classmethod
    def _search_only_on_demand(cls, value: Any) -> Any:
        """Without a document nothing is searched: to the resolvers that is a None that was sent."""
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


async def models(call: Call) -> ai_shapes.Models:
    """The language models on offer; needs no credential."""
    catalogue = call.ctx.models
    return {"models": [serializers.model(card) for card in catalogue.cards], "default_model_id": catalogue.default_id}


async def create(call: Call, body: NewConversation) -> ai_shapes.Conversation:
    """Begins a conversation about a document."""
    return serializers.conversation(await conversations.create(call.ctx, body, call.idempotency_key))


async def page(call: Call, query: ConversationsQuery) -> ai_shapes.Listed[ai_shapes.Summary]:
    """The caller's own conversations about a document, last used first."""
    rows, total = await conversations.window(call.ctx, query.document_id, query.limit, query.offset)
    return {"items": [serializers.summary(row) for row in rows], "total": total}


async def get(call: Call) -> ai_shapes.Conversation:
    """A conversation of the caller's own."""
    return serializers.conversation(await conversations.get(call.ctx, call.ident("Conversation")))


async def rename(call: Call, body: Renamed) -> ai_shapes.Conversation:
    """Gives a conversation another title."""
    return serializers.conversation(await conversations.rename(call.ctx, call.ident("Conversation"), body.title))


async def delete(call: Call) -> None:
    """Deletes a conversation with its messages and suggestions."""
    await conversations.delete(call.ctx, call.ident("Conversation"))


async def touch(call: Call) -> None:
    """Moves a conversation to the top of its list."""
    await conversations.touch(call.ctx, call.ident("Conversation"))


async def messages(call: Call, query: MessagesQuery) -> ai_shapes.Listed[ai_shapes.Message]:
    """The messages of a conversation, oldest first."""
    rows, total = await conversations.message_window(call.ctx, call.ident("Conversation"), query.limit, query.offset)
    return {"items": [serializers.message(row) for row in rows], "total": total}


async def ask(call: Call, body: Question) -> ReplyStream:
    """Sends a message and streams the reply as server-sent events."""
    answer = (await replies.send(call.ctx, call.ident("Conversation"), body, call.idempotency_key)).reply
    events = await replies.subscribe(call.ctx, answer.id)
    return ReplyStream(answer.id, events, patience=call.ctx.limits.stall_timeout_seconds)


async def cancel(call: Call) -> None:
    """Stops the reply that is running in a conversation, which keeps what it has said; none: nothing happens."""
    await replies.cancel_in_conversation(call.ctx, call.ident("Conversation"))


async def join(call: Call, query: ReplyQuery) -> ReplyStream:
    """A reply again, running or finished, after the event that the client saw last."""
    message_id, after = query.message_id, last_event(call.request)
    conversation = await conversations.get(call.ctx, call.ident("Conversation"))
    events = await replies.subscribe(call.ctx, message_id, after, conversation_id=conversation.id)
    return ReplyStream(message_id, events, after=after, patience=call.ctx.limits.stall_timeout_seconds)


def last_event(request: Request) -> int:
    given = request.headers.get("Last-Event-ID", "").strip() or "0"
    if not re.fullmatch(r"[0-9]{1,18}", given):
        raise bad("int_parsing", ("header", "Last-Event-ID"), "Last-Event-ID must be the id of an event.", given[:20])
    return int(given)


ROUTES = [
    PUBLIC_AI.route("/models", GET=reads(models)),
    AI.route("/conversations", GET=reads(page), POST=does(create, 201)),
    AI.route("/conversations/{id}", GET=reads(get), PATCH=does(rename), DELETE=removes(delete, 204)),
    AI.route("/conversations/{id}/messages", GET=reads(messages)),
    AI.route("/conversations/{id}/touch", POST=does(touch, 204)),
    AI.route("/conversations/{id}/stream", GET=reads(join), POST=does(ask, once=True)),
    AI.route("/conversations/{id}/cancel", POST=does(cancel, 204)),
]
