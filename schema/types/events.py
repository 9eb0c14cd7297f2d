"""Subscriptions: the events of a reply, and the event log."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, cast

import strawberry

from models.base import Record, as_id
from resolvers import replies
from resolvers.core.errors import bad_input
from resolvers.events import log as event_log
from resolvers.events import subscriptions
from resolvers.replies import ReplyEvent as ReplyRecord
from schema.execution.shared_results import LogSubscription
from schema.types.api_keys import ApiKey
from schema.types.base import Info, parse_id
from schema.types.conversations import Conversation, Message, SendMessageInput, ToolCall, message_draft
from schema.types.enums import EventType
from schema.types.inputs import idempotency_key
from schema.types.notes import Note
from schema.types.scalars import Cursor
from schema.types.suggestions import Suggestion
from schema.types.users import User

Actor = Annotated[User | ApiKey, strawberry.union("Actor")]


@strawberry.interface
class ReplyEvent:
    cursor: Cursor
    message_id: strawberry.ID


@strawberry.type
class ReplyDelta(ReplyEvent):
    content: str


@strawberry.type
class ReplyToolCall(ReplyEvent):
    call: ToolCall


@strawberry.type(description="A proposed edit of the note. The suggestion is already stored.")
class ReplyDocumentChange(ReplyEvent):
    suggestion: Suggestion


async def stored_message(root: strawberry.Parent[ReplyEvent], info: Info) -> Record | replies.DeletedReply:
    """The message of a reply that has ended."""
    message_id = parse_id("Message", root.message_id)
    return await info.context.loaders.message.load(message_id) or replies.DeletedReply(message_id)


@strawberry.type(description="The last event of a reply. The message is already stored.")
class ReplyDone(ReplyEvent):
    message = strawberry.field(resolver=stored_message, graphql_type=Message)


@strawberry.type(description="The last event of a reply that failed or was cancelled.")
class ReplyFailed(ReplyEvent):
    reason: str
    message = strawberry.field(resolver=stored_message, graphql_type=Message)


def to_event(event: ReplyRecord) -> ReplyEvent:
    cursor, message_id = Cursor(replies.reply_cursor(event)), strawberry.ID(str(event.message_id))
    match event.type:
        case "delta":
            return ReplyDelta(cursor=cursor, message_id=message_id, content=event.content or "")
        case "tool_call":
            return ReplyToolCall(cursor=cursor, message_id=message_id, call=cast(ToolCall, event.tool_call))
        case "done":
            return ReplyDone(cursor=cursor, message_id=message_id)
        case _:
            return ReplyFailed(cursor=cursor, message_id=message_id, reason=event.content or "")


async def reply_events(info: Info, source: AsyncGenerator[ReplyRecord, None]) -> AsyncGenerator[ReplyEvent, None]:
    """The events of a reply, without the document changes whose suggestion can't be read any more.

    The suggestion may have been deleted with its conversation or note, or the viewer may have lost the right to read
    it. The stream goes on to its last event, which reports that.
    """
    async with aclosing(source) as records:
        async for record in records:
            if record.document_change is None:
                yield to_event(record)
                continue
            suggestion_id = parse_id("Suggestion", record.document_change["suggestion_id"])
            if suggestion := await info.context.loaders.suggestion.load(suggestion_id):
                cursor, message_id = Cursor(replies.reply_cursor(record)), strawberry.ID(str(record.message_id))
                yield ReplyDocumentChange(cursor=cursor, message_id=message_id, suggestion=cast(Suggestion, suggestion))


@strawberry.type
class Event:
    id: strawberry.ID
    type: EventType
    created_at: datetime
    note_id: strawberry.ID | None

    @strawberry.field
    @staticmethod
    def cursor(root: strawberry.Parent[Record]) -> Cursor:
        return Cursor(event_log.cursor(root))

    @strawberry.field(graphql_type=Actor | None)
    @staticmethod
    async def actor(root: strawberry.Parent[Record], info: Info) -> Record | None:
        if root.actor_id is None:
            return None
        loaders = info.context.loaders
        return await loaders.user.load(root.actor_id) or await loaders.api_key.load(root.actor_id)

    @strawberry.field(graphql_type=Note | None)
    @staticmethod
    async def note(root: strawberry.Parent[Record], info: Info) -> Record | None:
        return await info.context.loaders.note.load(root.note_id) if root.note_id else None

    @strawberry.field(graphql_type=Conversation | None)
    @staticmethod
    async def conversation(root: strawberry.Parent[Record], info: Info) -> Record | None:
        conversation_id = as_id(root.payload.get("conversation"))
        return await info.context.loaders.conversation.load(conversation_id) if conversation_id else None

    @strawberry.field(graphql_type=Message | None)
    @staticmethod
    async def message(root: strawberry.Parent[Record], info: Info) -> Record | None:
        message_id = as_id(root.payload.get("message"))
        return await info.context.loaders.message.load(message_id) if message_id else None

    @strawberry.field(graphql_type=Suggestion | None)
    @staticmethod
    async def suggestion(root: strawberry.Parent[Record], info: Info) -> Record | None:
        suggestion_id = as_id(root.payload.get("suggestion"))
        return await info.context.loaders.suggestion.load(suggestion_id) if suggestion_id else None


async def started(info: Info, events: AsyncGenerator[ReplyEvent, None]) -> AsyncIterator[ReplyEvent]:
    """The events of a subscription whose checks have passed. The transport learns that, and each event's cursor."""
    request = info.context
    request.started.set()
    async with aclosing(events) as source:
        async for event in source:
            request.cursor = event.cursor
            yield event


def start_after(info: Info, after: Cursor | None) -> Cursor | None:
    """The cursor to start after. The one that came with the request is newer than the one in its operation."""
    resumed = info.context.resume_after
    return after if resumed is None else Cursor(resumed)


@strawberry.type
class Subscription:
    """Each field checks first and then returns its stream, so that it is refused before its first event."""

    @strawberry.subscription(description="Sends a message and delivers the events of its reply, in one operation.")
    @staticmethod
    async def ask(info: Info, conversation_id: strawberry.ID, input: SendMessageInput) -> AsyncIterator[ReplyEvent]:  # noqa: A002 (the contract's name)
        ctx = info.context.ctx
        if info.context.resume_after is not None:
            raise bad_input("Last-Event-ID", "`ask` would send the message again. Use `reply` to continue a reply.")
        conversation = parse_id("Conversation", conversation_id)
        sent = await replies.send(ctx, conversation, message_draft(input), idempotency_key(input))
        return started(info, reply_events(info, await replies.subscribe(ctx, sent.reply.id)))

    @strawberry.subscription(
        description="Delivers the events of a reply that is running or has ended, from the start or after a cursor. "
        "Any number of clients may subscribe."
    )
    @staticmethod
    async def reply(info: Info, message_id: strawberry.ID, after: Cursor | None = None) -> AsyncIterator[ReplyEvent]:
        source = await replies.subscribe_after_cursor(
            info.context.ctx, parse_id("Message", message_id), start_after(info, after)
        )
        return started(info, reply_events(info, source))

    @strawberry.subscription(graphql_type=Event, description="The events of one note, from now or after a cursor.")
    @staticmethod
    async def note_events(info: Info, note_id: strawberry.ID, after: Cursor | None = None) -> AsyncIterator[Record]:
        events = await subscriptions.subscribe_to_note(
            info.context.ctx, parse_id("Note", note_id), after=start_after(info, after)
        )
        return LogSubscription(info.context, events)

    @strawberry.subscription(
        graphql_type=Event,
        description="The events of the viewer's workspace that the viewer may see, from now or after a cursor.",
    )
    @staticmethod
    async def workspace_events(
        info: Info, types: list[EventType] | None = None, after: Cursor | None = None
    ) -> AsyncIterator[Record]:
        events = await subscriptions.subscribe_to_workspace(
            info.context.ctx, types=types, after=start_after(info, after)
        )
        return LogSubscription(info.context, events)
