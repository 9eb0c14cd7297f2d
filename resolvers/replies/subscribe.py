"""Following a reply: from its first event or after a cursor, whichever process runs it."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from models import Message
from models.base import Record, as_id
from models.conversation import MessageRole, MessageState
from resolvers.auth import access
from resolvers.conversations.suggestions import of_messages
from resolvers.core import cursors
from resolvers.core.context import Context
from resolvers.core.errors import not_found
from resolvers.replies.ending import running
from resolvers.replies.events import ReplyEvent
from resolvers.replies.permissions import admitted
from resolvers.replies.publisher import changed

log = structlog.get_logger()

GONE = "The conversation was deleted."
UNKNOWN = "The reply ended without an answer."


def reply_cursor(event: ReplyEvent) -> str:
    return cursors.encode("reply", str(event.message_id), event.seq)


async def subscribe_after_cursor(ctx: Context, message_id: UUID, after: str | None) -> AsyncGenerator[ReplyEvent, None]:
    """Like `subscribe`, after an opaque cursor. Raises BAD_USER_INPUT for one of another reply."""
    if after is None:
        return await subscribe(ctx, message_id)
    owner, seq = cursors.decode("reply", after, str, int)
    if as_id(owner) != message_id:
        raise cursors.invalid("after")
    return await subscribe(ctx, message_id, seq)


async def subscribe(
    ctx: Context, message_id: UUID, after: int = 0, *, conversation_id: UUID | None = None
) -> AsyncGenerator[ReplyEvent, None]:
    """The events of a reply after number `after`; the last one is terminal.

    Raises NOT_FOUND for a message that is no reply, or none of that conversation; later on what the gate does, where
    the viewer may hear it no longer.
    """
    async with ctx.read() as tx:
        message, conversation = await access.require_message(tx, ctx.viewer, message_id)
    if message.role is not MessageRole.ASSISTANT or conversation_id not in {None, conversation.id}:
        raise not_found("Message", message_id)
    return admitted(ctx, conversation, _events(ctx, message, after))


async def _events(ctx: Context, message: Record, after: int) -> AsyncGenerator[ReplyEvent, None]:
    message_id = message.id
    run = ctx.reply_runner.find(message_id)
    if run is not None:
        async with aclosing(run.subscribe(after)) as told:
            async for event in told:
                yield event
                if event.terminal:
                    return
                after = event.seq
    async with aclosing(_elsewhere(ctx, message, after)) as told:
        async for event in told:
            yield event


async def _elsewhere(ctx: Context, message: Record, after: int) -> AsyncGenerator[ReplyEvent, None]:
    """The same of a reply that another process runs, or has run: from the bus, and at the end from the row."""
    heard, message_id = InOrder(after), message.id
    row: Record | None = message
    more = True
    while more:
        # The feed is open before the row is read: what ends in between is in one or the other.
        async with ctx.bus.subscribe_reply(message_id) as feed:
            row = await _look(ctx, message_id, row)
            more = feed.retained > 0 or _running(row)
            while more and feed.is_open:
                data = await feed.next(ctx.limits.reply_poll_seconds)
                told = heard.skip() if data is None else heard.take(ReplyEvent.decode(data))
                for event in told:
                    yield event
                    if event.terminal:
                        return
                if data is None or heard.waits:
                    # Silence: the model may be slow, or the end was lost on the way. A gap: the bus has dropped a part,
                    # or will tell it again.
                    row = await _look(ctx, message_id, row)
                    more = _running(row)
    proposed = await of_messages(ctx, [message_id]) if heard.seen == 0 else {}
    for event in _told_by(row, message_id, heard.seen, proposed.get(message_id, [])):
        yield event


class InOrder:
    """Brings events into the order of their numbers, each once. A terminal one is let through to who has heard it
    before, too: they come back to learn how the reply ended."""

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self._early: dict[int, ReplyEvent] = {}

    @property
    def waits(self) -> bool:
        """Whether there is something that can't be told before what is missing."""
        return bool(self._early)

    def take(self, event: ReplyEvent) -> list[ReplyEvent]:
        if event.terminal and event.seq <= self.seen:
            return [event]
        if event.seq > self.seen:
            self._early[event.seq] = event
        told = []
        while found := self._early.pop(self.seen + 1, None):
            self.seen += 1
            told.append(found)
        return told

    def skip(self) -> list[ReplyEvent]:
        """Gives up what is missing."""
        if not self._early:
            return []
        self.seen = min(self._early) - 1
        return self.take(self._early[self.seen + 1])


def _running(row: Record | None) -> bool:
    return row is not None and running(row)


async def _look(ctx: Context, message_id: UUID, known: Record | None) -> Record | None:
    """The row now; where the database is away the one that was known: the reply goes on without it."""
    try:
        async with ctx.read() as tx:
            return (await tx.execute(select(Message).where(col(Message.id) == message_id))).one_or_none()
    except (SQLAlchemyError, OSError) as error:
        log.warning("reply.look_failed", message_id=str(message_id), error=type(error).__name__)
        return known


def _told_by(row: Record | None, message_id: UUID, seen: int, suggestions: Sequence[Record]) -> Iterator[ReplyEvent]:
    """The rest of a reply that the bus no longer keeps: its terminal event carries the whole text."""
    seq = seen + 1
    if row is None:
        yield ReplyEvent(seq, "error", message_id, content=GONE)
        return
    if seen == 0:
        for call in row.tool_calls:
            yield ReplyEvent(seq, "tool_call", message_id, tool_call=call)
            seq += 1
        for suggestion in suggestions:
            yield ReplyEvent(seq, "document_change", message_id, document_change=changed(suggestion))
            seq += 1
        if row.content:
            yield ReplyEvent(seq, "delta", message_id, content=row.content)
            seq += 1
    if row.state is MessageState.DONE:
        yield ReplyEvent(seq, "done", message_id, content=row.content)
    else:
        yield ReplyEvent(seq, "error", message_id, content=row.error or UNKNOWN)
