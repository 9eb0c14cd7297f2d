"""Following a reply: from its first event or after a cursor, whichever process runs it."""

from collections.abc import AsyncGenerator, Iterator
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from models import Message
from models.base import Record, as_id
from models.conversation import MessageRole, MessageState
from resolvers import access, cursors
from resolvers.context import Context
from resolvers.errors import not_found
from resolvers.replies.events import ReplyEvent

GONE = "The conversation was deleted."
UNKNOWN = "The reply ended without an answer."


def reply_cursor(event: ReplyEvent) -> str:
    return cursors.encode("reply", str(event.message_id), event.seq)


async def follow_cursor(ctx: Context, message_id: UUID, after: str | None) -> AsyncGenerator[ReplyEvent, None]:
    """Like `follow`, after an opaque cursor. Raises BAD_USER_INPUT for one of another reply."""
    if after is None:
        return await follow(ctx, message_id)
    owner, seq = cursors.decode("reply", after, str, int)
    if as_id(owner) != message_id:
        raise cursors.invalid("after")
    return await follow(ctx, message_id, seq)


async def follow(
    ctx: Context, message_id: UUID, after: int = 0, *, conversation_id: UUID | None = None
) -> AsyncGenerator[ReplyEvent, None]:
    """The events of a reply after number `after`; the last one is terminal. Raises before the first, or not at all.

    NOT_FOUND for a message that is no reply, or none of that conversation.
    """
    async with ctx.read() as tx:
        message, conversation = await access.message(tx, ctx.me, message_id)
    if message.role is not MessageRole.ASSISTANT or conversation_id not in {None, conversation.id}:
        raise not_found("Message", message_id)
    return _events(ctx, message_id, after)


async def _events(ctx: Context, message_id: UUID, after: int) -> AsyncGenerator[ReplyEvent, None]:
    seen = after
    # The feed is open before the row is read: what ends in between is in one or the other.
    async with ctx.bus.reply(message_id) as feed:
        row = await _row(ctx, message_id)
        while feed.kept or _running(row):
            data = await feed.next(ctx.limits.reply_silence)
            event = None if data is None else ReplyEvent.decode(data)
            if event is not None and event.terminal:
                # Told to who has heard it before, too: they come back to learn how the reply ended.
                yield event
                return
            if event is None or event.seq > seen + 1:
                # Silence: the model may be slow, or the end was lost on the way. A gap: the bus has dropped a part.
                row = await _row(ctx, message_id)
                if not _running(row):
                    break
            if event is not None and event.seq > seen:
                seen = event.seq
                yield event
    for event in _told_by(row, message_id, seen):
        yield event


def _running(row: Record | None) -> bool:
    return row is not None and row.state is MessageState.STREAMING


async def _row(ctx: Context, message_id: UUID) -> Record | None:
    async with ctx.read() as tx:
        return (await tx.execute(select(Message).where(col(Message.id) == message_id))).one_or_none()


def _told_by(row: Record | None, message_id: UUID, seen: int) -> Iterator[ReplyEvent]:
    """The rest of a reply that the bus no longer keeps: its terminal event carries the whole text."""
    seq = seen + 1
    if row is None:
        yield ReplyEvent(seq, "error", message_id, content=GONE)
        return
    if seen == 0:
        for call in row.tool_calls:
            yield ReplyEvent(seq, "tool_call", message_id, tool_call=call)
            seq += 1
        if row.content:
            yield ReplyEvent(seq, "delta", message_id, content=row.content)
            seq += 1
    if row.state is MessageState.DONE:
        yield ReplyEvent(seq, "done", message_id, content=row.content)
    else:
        yield ReplyEvent(seq, "error", message_id, content=row.error or UNKNOWN)
