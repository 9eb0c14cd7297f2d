"""Conversations, their messages, and the language models that answer."""

from datetime import datetime
from functools import partial
from typing import Any

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from models.base import Record
from models.conversation import ConversationDraft, ConversationRename, MessageDraft
from resolvers import replies
from resolvers.conversations import conversations
from resolvers.core.pagination import Page, PageArguments
from resolvers.core.ports.ai import ModelCard
from schema.types.base import Connection, Info, Node, get_or_none, parse_id
from schema.types.enums import AgentType, MessageRole, MessageState, SuggestionStatus
from schema.types.inputs import idempotency_key, to_draft
from schema.types.notes import Note
from schema.types.suggestions import NEWEST, Suggestion
from schema.types.users import User


@strawberry.type
class Model:
    id: strawberry.ID
    name: str
    provider: str
    gateway: str
    is_free: bool
    is_stealth: bool
    context_window: int
    description: str


@strawberry.type
class ToolCall:
    id: strawberry.ID
    tool_name: str
    text_offset: int
    arguments: JSON | None
    result_summary: str | None
    result: JSON | None


@strawberry.type
class Message(Node):
    role: MessageRole
    content: str
    state: MessageState
    token_count: int | None
    tool_calls: list[ToolCall]
    created_at: datetime
    updated_at: datetime

    @strawberry.field(graphql_type=Model | None)
    @staticmethod
    def model(root: strawberry.Parent[Record], info: Info) -> ModelCard | None:
        return next((card for card in info.context.ctx.models.cards if card.id == root.model_id), None)

    @strawberry.field(graphql_type=list[Suggestion], description=NEWEST)
    @staticmethod
    async def suggestions(root: strawberry.Parent[Record], info: Info) -> list[Record]:
        return await info.context.loaders.suggestions_of_message.load(root.id)


@strawberry.type
class Conversation(Node):
    title: str | None
    created_at: datetime
    updated_at: datetime

    @strawberry.field(graphql_type=Note)
    @staticmethod
    async def note(root: strawberry.Parent[Record], info: Info) -> Record | None:
        return await info.context.loaders.note.load(root.note_id)

    @strawberry.field(graphql_type=User)
    @staticmethod
    async def user(root: strawberry.Parent[Record], info: Info) -> Record | None:
        return await info.context.loaders.user.load(root.user_id)

    @strawberry.field(graphql_type=Connection[Message], description="Oldest first.")
    @staticmethod
    async def messages(
        root: strawberry.Parent[Record],
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Page:
        return await info.context.loaders.messages.load((root.id, (PageArguments(first, after, last, before),)))

    @strawberry.field(graphql_type=list[Suggestion], description=NEWEST)
    @staticmethod
    async def suggestions(
        root: strawberry.Parent[Record], info: Info, status: SuggestionStatus | None = None
    ) -> list[Record]:
        return await info.context.loaders.suggestions.load((root.id, status))

    @strawberry.field(graphql_type=Message | None)
    @staticmethod
    async def active_reply(root: strawberry.Parent[Record], info: Info) -> Record | None:
        return await info.context.loaders.active_reply.load(root.id)


@strawberry.type
class SentMessage:
    user_message: Message
    reply: Message


@strawberry.input
class CreateConversationInput:
    note_id: strawberry.ID
    title: str | None = UNSET
    idempotency_key: str | None = UNSET


@strawberry.input
class UpdateConversationInput:
    title: str


@strawberry.input
class SelectionInput:
    from_: int = strawberry.field(name="from")
    to: int
    text: str


@strawberry.input
class DocumentContextInput:
    content_text: str | None = UNSET
    content_json: JSON | None = UNSET
    selection: SelectionInput | None = UNSET


@strawberry.input
class SendMessageInput:
    """Without `noteId` the answer uses the workspace of the conversation's note as its source; with null, no source."""

    message: str
    note_id: strawberry.ID | None = UNSET
    model_id: strawberry.ID | None = UNSET
    agent_type: AgentType | None = UNSET
    document_context: DocumentContextInput | None = UNSET
    idempotency_key: str | None = UNSET


def message_draft(input: SendMessageInput) -> MessageDraft:  # noqa: A002 (GraphQL's name)
    return to_draft(MessageDraft, input, keep_nulls=True)


@strawberry.type
class ConversationQuery:
    @strawberry.field(graphql_type=Conversation | None)
    @staticmethod
    async def conversation(info: Info, id: strawberry.ID) -> Record | None:  # noqa: A002 (the contract's name)
        return await get_or_none(id, partial(conversations.get_conversation, info.context.ctx))

    @strawberry.field(graphql_type=list[Model], description="The language models that can answer. Needs no credential.")
    @staticmethod
    def models(info: Info) -> Any:
        return info.context.ctx.models.cards

    @strawberry.field(graphql_type=Model)
    @staticmethod
    def default_model(info: Info) -> ModelCard:
        models = info.context.ctx.models
        return next(card for card in models.cards if card.id == models.default_id)


@strawberry.type
class ConversationMutation:
    @strawberry.mutation(graphql_type=Conversation)
    @staticmethod
    async def create_conversation(info: Info, input: CreateConversationInput) -> Record:  # noqa: A002 (the contract's name)
        return await conversations.create_conversation(
            info.context.ctx, to_draft(ConversationDraft, input), idempotency_key(input)
        )

    @strawberry.mutation(graphql_type=Conversation)
    @staticmethod
    async def update_conversation(
        info: Info,
        id: strawberry.ID,  # noqa: A002 (the contract's name)
        input: UpdateConversationInput,  # noqa: A002 (the contract's name)
    ) -> Record:
        title = to_draft(ConversationRename, input).title
        return await conversations.rename_conversation(info.context.ctx, parse_id("Conversation", id), title)

    @strawberry.mutation(graphql_type=Conversation)
    @staticmethod
    async def touch_conversation(info: Info, id: strawberry.ID) -> Record:  # noqa: A002 (the contract's name)
        return await conversations.touch_conversation(info.context.ctx, parse_id("Conversation", id))

    @strawberry.mutation
    @staticmethod
    async def delete_conversation(info: Info, id: strawberry.ID) -> strawberry.ID:  # noqa: A002 (the contract's name)
        await conversations.delete_conversation(info.context.ctx, parse_id("Conversation", id))
        return id

    @strawberry.mutation(
        graphql_type=SentMessage, description="Returns at once. `Subscription.reply` delivers the reply."
    )
    @staticmethod
    async def send_message(info: Info, conversation_id: strawberry.ID, input: SendMessageInput) -> replies.SentMessage:  # noqa: A002 (the contract's name)
        sent_to = parse_id("Conversation", conversation_id)
        return await replies.send(info.context.ctx, sent_to, message_draft(input), idempotency_key(input))

    @strawberry.mutation(
        graphql_type=Message,
        description="Stops a running reply, which keeps the text it has so far. A reply that has ended does not "
        "change.",
    )
    @staticmethod
    async def cancel_reply(info: Info, message_id: strawberry.ID) -> Record:
        return await replies.cancel(info.context.ctx, parse_id("Message", message_id))
