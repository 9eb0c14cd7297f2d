"""Replies outlive the cancelled request that sent them, errors of their keeper, and the process that ran them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, text
from sqlmodel import col

from models import Message
from models.base import Record
from models.conversation import ConversationDraft, MessageDraft, MessageRole, MessageState
from resolvers import replies
from resolvers.conversations import conversations
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.failures import FAILURES
from resolvers.replies import ending
from resolvers.replies.ending import LOST
from tests.conftest import Services
from tests.resolvers.helpers import make_own_workspace, write
from tests.support.llm import Script


async def eventually(condition: Any) -> None:
    """Waits until `condition()` returns true. Fails after a minute."""
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


async def begin_conversation(ctx: Context) -> Record:
    return await conversations.create_conversation(
        ctx, ConversationDraft(note_id=(await write(ctx)).id, title="Titled")
    )


async def stored_message(ctx: Context, message_id: UUID) -> Record:
    async with ctx.read() as tx:
        return (await tx.execute(select(Message).where(col(Message.id) == message_id))).one()


async def insert_lost_reply(ctx: Context, conversation: Record, lease_until: datetime) -> UUID:
    """A reply whose process has died: its lease ended at `lease_until`."""
    values = {
        "id": uuid4(),
        "workspace_id": conversation.workspace_id,
        "conversation_id": conversation.id,
        "role": MessageRole.ASSISTANT,
        "state": MessageState.STREAMING,
        "model_id": ctx.models.default_id,
        "content": "Up to ",
        "lease_until": lease_until,
    }
    async with ctx.transaction() as tx:
        await tx.execute(insert(Message).values(values))
    return UUID(str(values["id"]))


@asynccontextmanager
async def locked_workspace(ctx: Context) -> AsyncIterator[None]:
    """Holds the row of the viewer's workspace, as a transaction does that publishes an event."""
    async with ctx.transaction() as tx:
        await tx.execute(text("SELECT 1 FROM workspaces WHERE id = :id FOR UPDATE"), {"id": ctx.viewer.workspace_id})
        yield


async def has_waiting_backends(ctx: Context, count: int) -> bool:
    """Whether so many connections of this database wait for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with ctx.read() as tx:
        return bool((await tx.execute(query)).scalar_one() == count)


async def test_two_workers_that_close_lost_replies_cannot_deadlock(ctx: Context) -> None:
    """Their replies are of the same two workspaces, in opposite order."""
    first, second = (await make_own_workspace(ctx)).ctx, (await make_own_workspace(ctx)).ctx
    lost = []
    for number, owner in enumerate((first, second, second, first)):
        lease_until = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
        lost.append(await insert_lost_reply(owner, await begin_conversation(owner), lease_until))
    async with locked_workspace(second), locked_workspace(first):
        # The first worker waits for the first workspace, the second for the second.
        workers = [asyncio.create_task(replies.close_lost(ctx, limit=2))]
        await eventually(lambda: has_waiting_backends(ctx, 1))
        workers.append(asyncio.create_task(replies.close_lost(ctx, limit=2)))
        await eventually(lambda: has_waiting_backends(ctx, 2))
    assert await asyncio.gather(*workers) == [2, 2]
    ended = [await stored_message(ctx, ident) for ident in lost]
    assert [(row.state, row.error, row.content) for row in ended] == [(MessageState.FAILED, LOST, "Up to ")] * 4


async def test_closing_a_lost_reply_locks_one_workspace_at_a_time(ctx: Context) -> None:
    """While another transaction holds the second reply's workspace, the first reply ends and is committed."""
    first, second = (await make_own_workspace(ctx)).ctx, (await make_own_workspace(ctx)).ctx
    lost = []
    for number, owner in enumerate((first, second)):
        lease_until = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
        lost.append(await insert_lost_reply(owner, await begin_conversation(owner), lease_until))
    async with locked_workspace(second):
        worker = asyncio.create_task(replies.close_lost(ctx))
        await eventually(lambda: is_ended(ctx, lost[0]))
        assert not await is_ended(ctx, lost[1])
    await worker
    assert await is_ended(ctx, lost[1])


async def test_a_lost_reply_that_cannot_be_closed_delays_no_other(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = (await make_own_workspace(ctx)).ctx
    lost = []
    for number in range(2):
        lease_until = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
        lost.append(await insert_lost_reply(owner, await begin_conversation(owner), lease_until))
    close, failures = ending.close, FAILURES["reply.close_failed"]

    async def fail_for_the_first(
        tx: Transaction, conversation: Record, message_id: UUID, *conditions: Any, **values: Any
    ) -> Any:
        if message_id == lost[0]:
            raise ZeroDivisionError
        return await close(tx, conversation, message_id, *conditions, **values)

    monkeypatch.setattr(ending, "close", fail_for_the_first)
    assert await replies.close_lost(ctx) == 2
    assert [await is_ended(ctx, ident) for ident in lost] == [False, True]
    # The bug was reported, and the reply is claimed again once its new lease runs out.
    assert FAILURES["reply.close_failed"] == failures + 1
    assert await replies.close_lost(ctx) == 0
    monkeypatch.undo()
    async with ctx.transaction() as tx:
        await tx.execute(text("UPDATE messages SET lease_until = '2020-01-01Z' WHERE id = :id"), {"id": lost[0]})
    assert await replies.close_lost(ctx) == 1
    assert await is_ended(ctx, lost[0])


async def test_a_reply_whose_process_was_only_slow_goes_on(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process renews the lease between the claim of a worker and the end that the worker would write."""
    owner = (await make_own_workspace(ctx)).ctx
    message_id = await insert_lost_reply(owner, await begin_conversation(owner), datetime(2020, 1, 1, tzinfo=UTC))
    close = ending.close

    async def close_after_a_renewal(tx: Transaction, *arguments: Any, **values: Any) -> Any:
        async with ctx.transaction() as other:
            renewal = text("UPDATE messages SET lease_until = lease_until + interval '5 s' WHERE id = :id")
            await other.execute(renewal, {"id": message_id})
        return await close(tx, *arguments, **values)

    monkeypatch.setattr(ending, "close", close_after_a_renewal)
    assert await replies.close_lost(ctx) == 1
    row = await stored_message(ctx, message_id)
    assert (row.state, row.error) == (MessageState.STREAMING, None)
    # It leaves no running reply behind, which another test would claim.
    monkeypatch.undo()
    async with ctx.transaction() as tx:
        await tx.execute(text("UPDATE messages SET lease_until = '2020-01-01Z' WHERE id = :id"), {"id": message_id})
    assert await replies.close_lost(ctx) == 1


async def is_ended(ctx: Context, message_id: UUID) -> bool:
    return (await stored_message(ctx, message_id)).lease_until is None


class InterruptedBus:
    """The bus, whose wake-ups after a commit wait until the test lets them go."""

    def __init__(self, ctx: Context) -> None:
        self._bus = ctx.bus
        self.reached, self.released = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def publish_wakeup(self, workspace_id: UUID, seq: int) -> None:
        self.reached.set()
        await self.released.wait()
        await self._bus.publish_wakeup(workspace_id, seq)


async def test_a_sender_that_is_cancelled_after_the_commit_leaves_a_running_reply(me: Context) -> None:
    conversation = await begin_conversation(me)
    bus = InterruptedBus(me)
    interrupted = replace(me, bus=bus)
    sending = asyncio.create_task(replies.send(interrupted, conversation.id, MessageDraft(message="Hm?", note_id=None)))
    await bus.reached.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    bus.released.set()
    [reply] = [row for row in await messages(me, conversation) if row.role is MessageRole.ASSISTANT]
    await eventually(lambda: is_ended(me, reply.id))
    assert (await stored_message(me, reply.id)).content == "All is well."
    # The conversation takes the next message at once.
    await replies.send(me, conversation.id, MessageDraft(message="And now?", note_id=None))


async def send(ctx: Context, text: str) -> UUID:
    """Sends a message in a new conversation; returns the id of the reply."""
    conversation = await begin_conversation(ctx)
    sent = await replies.send(ctx, conversation.id, MessageDraft(message=text, note_id=None))
    return UUID(str(sent.reply.id))


async def has_content(ctx: Context, message_id: UUID, content: str) -> bool:
    return bool((await stored_message(ctx, message_id)).content == content)


async def messages(ctx: Context, conversation: Record) -> list[Record]:
    async with ctx.read() as tx:
        query = select(Message).where(col(Message.conversation_id) == conversation.id)
        return list(await tx.execute(query))


class BrokenBus:
    """The bus after a restart; what it is to be told again fails in a way that nobody has foreseen."""

    def __init__(self, ctx: Context) -> None:
        self._bus = ctx.bus
        self.reconnects = ctx.bus.reconnects
        self.failed = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def publish_reply(self, message_id: UUID, event: bytes, *, last: bool) -> None:
        if self.reconnects != self._bus.reconnects and not last:
            self.failed.set()
            raise RuntimeError("unforeseen")
        await self._bus.publish_reply(message_id, event, last=last)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_an_unexpected_error_does_not_end_the_keeper_of_leases(
    me: Context, services: Services, gate: threading.Event
) -> None:
    """One reply fails whenever the keeper looks at it; another one of the same process is saved all the same."""
    word = uuid4().hex
    services.llm.on(word, Script(["Up to ", "the end."], gate=gate))
    bus = BrokenBus(me)
    broken = await send(replace(me, bus=bus), word)
    await eventually(lambda: has_content(me, broken, "Up to "))
    bus.reconnects += 1
    async with asyncio.timeout(60):
        await bus.failed.wait()
    later = await send(me, word)
    await eventually(lambda: has_content(me, later, "Up to "))
