"""Subscriptions: replies as they are spoken, and the event log as it grows."""

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
from resolvers.replies import ReplyEvent as Told
from schema.execution.shared_results import LogSubscription
from schema.types.base import Info, parse_id
from schema.types.conversations import Conversation, Message, SendMessageInput, ToolCall, message_draft
from schema.types.enums import EventType
from schema.types.inputs import once
from schema.types.notes import Note
from schema.types.scalars import Cursor
from schema.types.suggestions import Suggestion
from schema.types.workspaces import ApiKey, User

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


@strawberry.type(description="The suggestion is stored.")
class ReplyDocumentChange(ReplyEvent):
    suggestion: Suggestion


async def stored(root: strawberry.Parent[ReplyEvent], info: Info) -> Record | replies.DeletedReply:
    """The message at the end of its reply."""
    message_id = parse_id("Message", root.message_id)
    return await info.context.loaders.message.load(message_id) or replies.DeletedReply(message_id)


@strawberry.type(description="Terminal: the message is stored.")
class ReplyDone(ReplyEvent):
    message = strawberry.field(resolver=stored, graphql_type=Message)


@strawberry.type(description="Terminal; also when the reply was cancelled.")
class ReplyFailed(ReplyEvent):
    reason: str
    message = strawberry.field(resolver=stored, graphql_type=Message)


def told(event: Told) -> ReplyEvent:
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


async def all_told(info: Info, followed: AsyncGenerator[Told, None]) -> AsyncGenerator[ReplyEvent, None]:
    """The events as they come, without the changes whose suggestion is gone: with its conversation, its note, or the
    right to read that. The stream goes on to its end, which tells of it."""
    async with aclosing(followed) as events_of_reply:
        async for event in events_of_reply:
            if event.document_change is None:
                yield told(event)
                continue
            named = parse_id("Suggestion", event.document_change["suggestion_id"])
            if found := await info.context.loaders.suggestion.load(named):
                cursor, message_id = Cursor(replies.reply_cursor(event)), strawberry.ID(str(event.message_id))
                yield ReplyDocumentChange(cursor=cursor, message_id=message_id, suggestion=cast(Suggestion, found))


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
        named = as_id(root.payload.get("conversation"))
        return await info.context.loaders.conversation.load(named) if named else None

    @strawberry.field(graphql_type=Message | None)
    @staticmethod
    async def message(root: strawberry.Parent[Record], info: Info) -> Record | None:
        named = as_id(root.payload.get("message"))
        return await info.context.loaders.message.load(named) if named else None

    @strawberry.field(graphql_type=Suggestion | None)
    @staticmethod
    async def suggestion(root: strawberry.Parent[Record], info: Info) -> Record | None:
        named = as_id(root.payload.get("suggestion"))
        return await info.context.loaders.suggestion.load(named) if named else None


async def live(info: Info, stream: AsyncGenerator[ReplyEvent, None]) -> AsyncIterator[ReplyEvent]:
    """The stream of a subscription whose checks are passed: tells the transport so, and the cursor of each event."""
    request = info.context
    request.started.set()
    async with aclosing(stream) as told_events:
        async for event in told_events:
            request.cursor = event.cursor
            yield event


def since(info: Info, after: Cursor | None) -> Cursor | None:
    """Where to go on: a cursor that came with the request is newer than one in its operation."""
    resumed = info.context.resume_after
    return after if resumed is None else Cursor(resumed)


@strawberry.type
class Subscription:
    """Each is a coroutine that checks and then gives its stream: what is refused is refused before the first event."""

    @strawberry.subscription(description="Sends a message and follows its reply in one operation.")
    @staticmethod
    async def ask(info: Info, conversation_id: strawberry.ID, input: SendMessageInput) -> AsyncIterator[ReplyEvent]:  # noqa: A002 (the contract's name)
        ctx = info.context.ctx
        if info.context.resume_after is not None:
            raise bad_input("Last-Event-ID", "To ask again is no way to go on: follow the reply with `reply`.")
        sent = await replies.send(ctx, parse_id("Conversation", conversation_id), message_draft(input), once(input))
        return live(info, all_told(info, await replies.subscribe(ctx, sent.reply.id)))

    @strawberry.subscription(
        description="Follows a reply that is running or has finished, from the start or after a cursor; any number of "
        "followers."
    )
    @staticmethod
    async def reply(info: Info, message_id: strawberry.ID, after: Cursor | None = None) -> AsyncIterator[ReplyEvent]:
        followed = await replies.subscribe_after_cursor(
            info.context.ctx, parse_id("Message", message_id), since(info, after)
        )
        return live(info, all_told(info, followed))

    @strawberry.subscription(graphql_type=Event)
    @staticmethod
    async def note_events(info: Info, note_id: strawberry.ID, after: Cursor | None = None) -> AsyncIterator[Record]:
        followed = await subscriptions.subscribe_to_note(
            info.context.ctx, parse_id("Note", note_id), after=since(info, after)
        )
        return LogSubscription(info.context, followed)

    @strawberry.subscription(graphql_type=Event)
    @staticmethod
    async def workspace_events(
        info: Info, types: list[EventType] | None = None, after: Cursor | None = None
    ) -> AsyncIterator[Record]:
        followed = await subscriptions.subscribe_to_workspace(info.context.ctx, types=types, after=since(info, after))
        return LogSubscription(info.context, followed)
