"""Subscribing to a reply, from its first event or after a cursor, whichever process runs it."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from models import Message
from models.base import Record, as_id
from models.conversation import MessageRole, MessageState
from resolvers.auth import access
from resolvers.conversations.suggestions import find_suggestions_of_messages
from resolvers.core import cursors
from resolvers.core.context import Context
from resolvers.core.errors import not_found
from resolvers.core.failures import report_failure
from resolvers.core.ports.bus import ReplySubscription
from resolvers.replies.ending import DELETED, is_running
from resolvers.replies.events import ReplyEvent
from resolvers.replies.ordering import EventOrder
from resolvers.replies.permissions import while_permitted
from resolvers.replies.publisher import document_change

UNKNOWN = "The reply ended without an answer."


def reply_cursor(event: ReplyEvent) -> str:
    """Returns the opaque position of an event, to subscribe after it."""
    return cursors.encode("reply", str(event.message_id), event.seq)


async def subscribe_after_cursor(ctx: Context, message_id: UUID, after: str | None) -> AsyncGenerator[ReplyEvent, None]:
    """Like `subscribe`, after an opaque cursor. Raises BAD_USER_INPUT for a cursor of another reply."""
    if after is None:
        return await subscribe(ctx, message_id)
    owner, seq = cursors.decode("reply", after, str, int)
    if as_id(owner) != message_id:
        raise cursors.invalid("after")
    return await subscribe(ctx, message_id, seq)


async def subscribe(
    ctx: Context, message_id: UUID, after: int = 0, *, conversation_id: UUID | None = None
) -> AsyncGenerator[ReplyEvent, None]:
    """Returns the events of a reply after number `after`, the last of which is terminal.

    Raises NOT_FOUND for a message that is not a reply, or not one of that conversation. The generator raises the
    Problem of the permission check once the viewer may no longer read the note.
    """
    async with ctx.read() as tx:
        message, conversation = await access.require_message(tx, ctx.viewer, message_id)
    if message.role is not MessageRole.ASSISTANT or conversation_id not in {None, conversation.id}:
        raise not_found("Message", message_id)
    return while_permitted(ctx, conversation, _events(ctx, message, after))


async def _events(ctx: Context, message: Record, after: int) -> AsyncGenerator[ReplyEvent, None]:
    run = ctx.reply_runner.find(message.id)
    if run is not None:
        async with aclosing(run.subscribe(after)) as events:
            async for event in events:
                yield event
                if event.is_terminal:
                    return
                after = event.seq
    async with aclosing(_RemoteReply(ctx, message, after).events()) as events:
        async for event in events:
            yield event


class _RemoteReply:
    """A reply that another process runs or ran, read from the bus; at its end, or if the bus fails, from its row."""

    def __init__(self, ctx: Context, message: Record, after: int) -> None:
        self._ctx = ctx
        self._message_id = message.id
        self._row: Record | None = message
        self._order = EventOrder(after)
        # False once the bus has nothing more of the reply. A closed subscription alone is replaced by another.
        self._has_more = True

    @property
    def _is_running(self) -> bool:
        return self._row is not None and is_running(self._row)

    async def events(self) -> AsyncGenerator[ReplyEvent, None]:
        while self._has_more:
            # The subscription begins before the row is read: an end in between is in one or the other.
            async with self._ctx.bus.subscribe_reply(self._message_id) as subscription:
                await self._refresh()
                async with aclosing(self._received(subscription)) as events:
                    async for event in events:
                        yield event
                        if event.is_terminal:
                            return
        for event in await self._stored_events():
            yield event

    async def _received(self, subscription: ReplySubscription) -> AsyncGenerator[ReplyEvent, None]:
        """Yields events until the subscription closes or the row says that the reply has ended."""
        self._has_more = subscription.retained > 0 or self._is_running
        while self._has_more and subscription.is_open:
            data = await subscription.next(self._ctx.limits.reply_poll_seconds)
            for event in self._order.skip_gap() if data is None else self._order.add(ReplyEvent.decode(data)):
                yield event
            if data is None or self._order.has_gap:
                # After silence the model may be slow, or the last event was lost. In a gap, the bus has dropped events,
                # or will deliver them again.
                await self._refresh()
                self._has_more = self._is_running

    async def _refresh(self) -> None:
        """Reads the row again. While the database is away the last one is used: the reply goes on without it."""
        query = select(Message).where(col(Message.id) == self._message_id)
        try:
            async with self._ctx.read() as tx:
                self._row = (await tx.execute(query)).one_or_none()
        except (SQLAlchemyError, OSError) as error:
            report_failure("reply.read_failed", error, message_id=str(self._message_id))

    async def _stored_events(self) -> list[ReplyEvent]:
        """Returns the rest of a reply that the bus has no longer. Its terminal event has the whole text."""
        seen, suggestions = self._order.seen, []
        if seen == 0:
            suggestions = (await find_suggestions_of_messages(self._ctx, [self._message_id])).get(self._message_id, [])
        return list(_stored_events(self._row, self._message_id, seen, suggestions))


def _stored_events(
    row: Record | None, message_id: UUID, seen: int, suggestions: Sequence[Record]
) -> Iterator[ReplyEvent]:
    seq = seen + 1
    if row is None:
        yield ReplyEvent(seq, "error", message_id, content=DELETED)
        return
    if seen == 0:
        for call in row.tool_calls:
            yield ReplyEvent(seq, "tool_call", message_id, tool_call=call)
            seq += 1
        for suggestion in suggestions:
            yield ReplyEvent(seq, "document_change", message_id, document_change=document_change(suggestion))
            seq += 1
        if row.content:
            yield ReplyEvent(seq, "delta", message_id, content=row.content)
            seq += 1
    if row.state is MessageState.DONE:
        yield ReplyEvent(seq, "done", message_id, content=row.content)
    else:
        yield ReplyEvent(seq, "error", message_id, content=row.error or UNKNOWN)
