"""Subscriptions to the event log across interruptions: every event once, in order, on every server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from caret.adapters.nats_bus import NatsBus
from models import Event, EventType, Role
from models.base import new_id
from resolvers.core.database import Database, Transaction
from resolvers.core.ports.event_feeds import Subscriber
from resolvers.core.viewer import Viewer
from resolvers.events import feed as feeds
from resolvers.events.feed import ProcessEventFeeds
from resolvers.events.log import publish
from tests.conftest import Services, Tenant
from tests.faults.helpers import CREATE, elsewhere, taken
from tests.support.clients import Caller
from tests.support.servers import RunningServer

SUBSCRIBE = """subscription($after: Cursor, $types: [EventType!]) {
  workspaceEvents(after: $after, types: $types) { cursor id type noteId }
}"""
CHANGES = 50


async def log(database: AsyncEngine, workspace_id: UUID, after: int = 0) -> list[tuple[int, str]]:
    """(seq, id) of the workspace's events, as they are in the table."""
    query = select(col(Event.seq), col(Event.id)).where(col(Event.workspace_id) == workspace_id, col(Event.seq) > after)
    async with database.connect() as connection:
        return [(seq, str(ident)) for seq, ident in await connection.execute(query.order_by(col(Event.seq)))]


async def read_events(caller: Caller, after: str, created: int) -> list[dict[str, Any]]:
    """The events after a cursor, up to the one of the last created note."""
    received: list[dict[str, Any]] = []
    async with caller.socket() as socket:
        name = await socket.start(SUBSCRIBE, after=after)
        while sum(event["type"] == "NOTE_CREATED" for event in received) < created:
            [data] = await taken(socket, name, 1)
            received.append(data["workspaceEvents"])
        socket.connection.transport.abort()
    return received


async def test_no_change_is_lost_to_absent_subscribers(
    tenant: Tenant, other_server: RunningServer, database: AsyncEngine
) -> None:
    here = await tenant.key()
    there = elsewhere(tenant, here, other_server)
    async with here.socket() as socket:
        name = await socket.start_live(SUBSCRIBE)
        await here.data(CREATE, t="the first")
        [first] = await taken(socket, name, 1)
        socket.connection.transport.abort()
    cursor = first["workspaceEvents"]["cursor"]

    async with asyncio.TaskGroup() as group:
        # Some subscribers are live meanwhile, on both servers; others come after the last change.
        live = [group.create_task(read_events(caller, cursor, CHANGES)) for caller in (here, there) for _ in range(3)]
        for number in range(CHANGES):
            group.create_task((here, there)[number % 2].data(CREATE, t=f"change {number}"))
    late = await asyncio.gather(*(read_events(caller, cursor, CHANGES) for caller in (here, there)))

    table = await log(database, tenant.id)
    assert [seq for seq, _ in table] == list(range(1, len(table) + 1))
    ids = [ident for _, ident in table]
    start = ids.index(first["workspaceEvents"]["id"]) + 1
    for received in [*(task.result() for task in live), *late]:
        assert [event["id"] for event in received] == ids[start : start + len(received)]
        assert sum(event["type"] == "NOTE_CREATED" for event in received) == CHANGES


async def test_a_subscriber_may_drop_at_every_event(
    tenant: Tenant, other_server: RunningServer, database: AsyncEngine
) -> None:
    here = await tenant.key()
    there = elsewhere(tenant, here, other_server)
    received = []
    async with here.socket() as socket:
        name = await socket.start_live(SUBSCRIBE)
        for number in range(10):
            await here.data(CREATE, t=f"note {number}")
        received += [data["workspaceEvents"] for data in await taken(socket, name, 1)]
    while len(received) < 10:
        async with (here, there)[len(received) % 2].socket() as socket:
            name = await socket.start(SUBSCRIBE, after=received[-1]["cursor"])
            received += [data["workspaceEvents"] for data in await taken(socket, name, 1)]
            socket.connection.transport.abort()
    assert [event["id"] for event in received] == [ident for _, ident in (await log(database, tenant.id))[:10]]


@pytest.fixture
async def process_feeds(services: Services, database: AsyncEngine) -> AsyncIterator[ProcessEventFeeds]:
    """Event feeds as a server process has them."""
    bus = await NatsBus.connect(services.nats_url)
    feeds_of_process = ProcessEventFeeds(Database(database), bus)
    yield feeds_of_process
    # No feed is left running for a workspace without subscribers.
    assert not feeds_of_process._feeds
    await bus.close()


def any_subscriber(tenant: Tenant) -> Subscriber:
    return Subscriber(Viewer(user_id=new_id(), workspace_id=tenant.id, role=Role.MEMBER), tenant.id)


async def write(database: AsyncEngine, workspace_id: UUID, count: int) -> None:
    """Events whose wake-up is lost."""
    async with database.begin() as connection:
        for _ in range(count):
            tx = Transaction(connection)
            await publish(tx, None, EventType.NOTE_UPDATED, workspace_id=workspace_id, note_id=None)


async def test_a_lost_wakeup_costs_only_time(
    tenant: Tenant, database: AsyncEngine, process_feeds: ProcessEventFeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "POLL_SECONDS", 0.1)
    async with aclosing(process_feeds.subscribe(any_subscriber(tenant), 0)) as batches, asyncio.timeout(10):
        for expected in (1, 2, 3):
            await write(database, tenant.id, 1)
            assert [event.seq for event in (await anext(batches)).events] == [expected]


async def test_a_subscriber_behind_the_ring_buffer_reads_the_table(
    tenant: Tenant, database: AsyncEngine, process_feeds: ProcessEventFeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "RING_EVENTS", 10)
    monkeypatch.setattr(feeds, "POLL_SECONDS", 0.1)
    async with (
        aclosing(process_feeds.subscribe(any_subscriber(tenant), 0)) as slow,
        aclosing(process_feeds.subscribe(any_subscriber(tenant), 0)) as quick,
        asyncio.timeout(20),
    ):
        await write(database, tenant.id, 1)
        seen = {}
        for name, batches in (("s", slow), ("q", quick)):
            seen[name] = [event.seq for event in (await anext(batches)).events]
        await write(database, tenant.id, 500)
        while len(seen["q"]) < 501:
            seen["q"] += [event.seq for event in (await anext(quick)).events]
        feed, _ = process_feeds._feeds[tenant.id]
        assert (feed.last, len(feed.ring), feed.since(1)) == (501, 10, None)
        # It read nothing for a while: no event was held in memory for it, and it loses none.
        while len(seen["s"]) < 501:
            seen["s"] += [event.seq for event in (await anext(slow)).events]
        assert seen["s"] == seen["q"] == list(range(1, 502))
        await write(database, tenant.id, 1)
        assert [event.seq for event in (await anext(slow)).events] == [502]


async def test_a_feed_outlives_failures_of_the_bus(
    tenant: Tenant, database: AsyncEngine, process_feeds: ProcessEventFeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.core.retry.RETRY_SECONDS", 0.05)
    original, failures = process_feeds._bus.subscribe_wakeups, [RuntimeError("draining")]

    def failing(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return original(*arguments)

    monkeypatch.setattr(process_feeds._bus, "subscribe_wakeups", failing)
    async with aclosing(process_feeds.subscribe(any_subscriber(tenant), 0)) as batches, asyncio.timeout(30):
        await write(database, tenant.id, 1)
        assert [event.seq for event in (await anext(batches)).events] == [1]
    assert not failures


async def test_a_feed_outlives_failures_of_the_database(
    tenant: Tenant, database: AsyncEngine, process_feeds: ProcessEventFeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "POLL_SECONDS", 0.1)
    original, failures = feeds.read_after, [ConnectionRefusedError("away"), RuntimeError("still not itself")]

    async def failing(*arguments: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return await original(*arguments)

    monkeypatch.setattr(feeds, "read_after", failing)
    await write(database, tenant.id, 3)
    async with aclosing(process_feeds.subscribe(any_subscriber(tenant), 0)) as batches, asyncio.timeout(10):
        assert [event.seq for event in (await anext(batches)).events] == [1, 2, 3]
    assert not failures
