"""`/api/v1/ai`: the models, the conversations, and their replies as streams."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from models.base import Id
from models.conversation import (
    AgentType,
    ConversationDraft,
    ConversationRename,
    ConversationTitle,
    DocumentContextDraft,
    MessageDraft,
    SelectionDraft,
)
from resolvers import conversations, replies
from resolvers.pages import MAX_PAGE
from rest_compat import present
from rest_compat.ai_api import AI, BODY, PUBLIC_AI
from rest_compat.call import Call, reply
from rest_compat.refusals import bad
from rest_compat.streams import ReplyStream

Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]
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

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """The older form of a document's context is its bare text."""
        return {"content_text": value} if isinstance(value, str) else value


def _known(agent: object) -> object:
    """An agent that is not known here is the plain chat."""
    return agent if agent in list(AgentType) else None


class Question(MessageDraft):
    model_config = BODY
    note_id: Annotated[Id | None, Field(alias="document_id")] = None
    agent_type: Annotated[AgentType | None, BeforeValidator(_known)] = None
    document_context: DocumentContext | None = None

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


async def models(call: Call) -> Response:
    catalogue = call.ctx.models
    return reply({"models": catalogue.cards, "default_model_id": catalogue.default_id})


async def create(call: Call) -> Response:
    row = await conversations.create(call.ctx, call.sent(NewConversation))
    return reply(present.conversation(row), 201)


async def page(call: Call) -> Response:
    query = call.asked(ConversationsQuery)
    rows, total = await conversations.window(call.ctx, query.document_id, query.limit, query.offset)
    return reply({"items": [present.summary(row) for row in rows], "total": total})


async def get(call: Call) -> Response:
    return reply(present.conversation(await conversations.get(call.ctx, call.ident("Conversation"))))


async def rename(call: Call) -> Response:
    title = call.sent(Renamed).title
    return reply(present.conversation(await conversations.rename(call.ctx, call.ident("Conversation"), title)))


async def delete(call: Call) -> Response:
    await conversations.delete(call.ctx, call.ident("Conversation"))
    return Response(status_code=204)


async def touch(call: Call) -> Response:
    await conversations.touch(call.ctx, call.ident("Conversation"))
    return Response(status_code=204)


async def messages(call: Call) -> Response:
    query = call.asked(MessagesQuery)
    rows, total = await conversations.message_window(call.ctx, call.ident("Conversation"), query.limit, query.offset)
    return reply({"items": [present.message(row) for row in rows], "total": total})


async def ask(call: Call) -> Response:
    question = call.sent(Question)
    answer = (await replies.send(call.ctx, call.ident("Conversation"), question)).reply
    return ReplyStream(answer.id, await replies.follow(call.ctx, answer.id))


async def join(call: Call) -> Response:
    """A reply again, running or finished, after the event that the client saw last."""
    message_id, after = call.asked(ReplyQuery).message_id, last_event(call.request)
    conversation = await conversations.get(call.ctx, call.ident("Conversation"))
    events = await replies.follow(call.ctx, message_id, after, conversation_id=conversation.id)
    return ReplyStream(message_id, events, after=after)


def last_event(request: Request) -> int:
    given = request.headers.get("Last-Event-ID", "").strip() or "0"
    if not re.fullmatch(r"[0-9]{1,18}", given):
        raise bad("int_parsing", ("header", "Last-Event-ID"), "Last-Event-ID must be the id of an event.", given[:20])
    return int(given)


ROUTES = [
    PUBLIC_AI.route("/models", GET=models),
    AI.route("/conversations", GET=page, POST=create),
    AI.route("/conversations/{id}", GET=get, PATCH=rename, DELETE=delete),
    AI.route("/conversations/{id}/messages", GET=messages),
    AI.route("/conversations/{id}/touch", POST=touch),
    AI.route("/conversations/{id}/stream", GET=join, POST=ask),
]
