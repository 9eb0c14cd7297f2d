"""The event log, followed through interruptions: every event once, in order, on every server."""

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

FOLLOW = """subscription($after: Cursor, $types: [EventType!]) {
  workspaceEvents(after: $after, types: $types) { cursor id type noteId }
}"""
CHANGES = 50


async def log(database: AsyncEngine, workspace_id: UUID, after: int = 0) -> list[tuple[int, str]]:
    """(seq, id) of the workspace's events, as they are in the table."""
    query = select(col(Event.seq), col(Event.id)).where(col(Event.workspace_id) == workspace_id, col(Event.seq) > after)
    async with database.connect() as connection:
        return [(seq, str(ident)) for seq, ident in await connection.execute(query.order_by(col(Event.seq)))]


async def heard(caller: Caller, after: str, created: int) -> list[dict[str, Any]]:
    """The events after a cursor, up to the one of the last created note."""
    found: list[dict[str, Any]] = []
    async with caller.socket() as socket:
        name = await socket.start(FOLLOW, after=after)
        while sum(event["type"] == "NOTE_CREATED" for event in found) < created:
            [data] = await taken(socket, name, 1)
            found.append(data["workspaceEvents"])
        socket.connection.transport.abort()
    return found


async def test_fifty_changes_while_away(tenant: Tenant, other_server: RunningServer, database: AsyncEngine) -> None:
    here = await tenant.key()
    there = elsewhere(tenant, here, other_server)
    async with here.socket() as socket:
        name = await socket.start_live(FOLLOW)
        await here.data(CREATE, t="the first")
        [first] = await taken(socket, name, 1)
        socket.connection.transport.abort()
    cursor = first["workspaceEvents"]["cursor"]

    async with asyncio.TaskGroup() as group:
        # Some follow while it happens, on both servers; some come when all is over.
        live = [group.create_task(heard(caller, cursor, CHANGES)) for caller in (here, there) for _ in range(3)]
        for number in range(CHANGES):
            group.create_task((here, there)[number % 2].data(CREATE, t=f"change {number}"))
    late = await asyncio.gather(*(heard(caller, cursor, CHANGES) for caller in (here, there)))

    table = await log(database, tenant.id)
    assert [seq for seq, _ in table] == list(range(1, len(table) + 1))
    ids = [ident for _, ident in table]
    start = ids.index(first["workspaceEvents"]["id"]) + 1
    for told in [*(task.result() for task in live), *late]:
        assert [event["id"] for event in told] == ids[start : start + len(told)]
        assert sum(event["type"] == "NOTE_CREATED" for event in told) == CHANGES


async def test_dropping_at_every_event(tenant: Tenant, other_server: RunningServer, database: AsyncEngine) -> None:
    here = await tenant.key()
    there = elsewhere(tenant, here, other_server)
    told = []
    async with here.socket() as socket:
        name = await socket.start_live(FOLLOW)
        for number in range(10):
            await here.data(CREATE, t=f"note {number}")
        told += [data["workspaceEvents"] for data in await taken(socket, name, 1)]
    while len(told) < 10:
        async with (here, there)[len(told) % 2].socket() as socket:
            name = await socket.start(FOLLOW, after=told[-1]["cursor"])
            told += [data["workspaceEvents"] for data in await taken(socket, name, 1)]
            socket.connection.transport.abort()
    assert [event["id"] for event in told] == [ident for _, ident in (await log(database, tenant.id))[:10]]


@pytest.fixture
async def followed(services: Services, database: AsyncEngine) -> AsyncIterator[ProcessEventFeeds]:
    """The feeds of a process, in this one."""
    bus = await NatsBus.connect(services.nats_url)
    made = ProcessEventFeeds(Database(database), bus)
    yield made
    # Nothing is left running for a workspace that nobody follows.
    assert not made._feeds
    await bus.close()


def anybody(tenant: Tenant) -> Subscriber:
    return Subscriber(Viewer(user_id=new_id(), workspace_id=tenant.id, role=Role.MEMBER), tenant.id)


async def write(database: AsyncEngine, workspace_id: UUID, count: int) -> None:
    """Events whose wake-up is lost."""
    async with database.begin() as connection:
        for _ in range(count):
            tx = Transaction(connection)
            await publish(tx, None, EventType.NOTE_UPDATED, workspace_id=workspace_id, note_id=None)


async def test_a_lost_wake_up_costs_only_time(
    tenant: Tenant, database: AsyncEngine, followed: ProcessEventFeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "POLL_SECONDS", 0.1)
    async with aclosing(followed.subscribe(anybody(tenant), 0)) as batches, asyncio.timeout(10):
        for expected in (1, 2, 3):
            await write(database, tenant.id, 1)
            assert [event.seq for event in (await anext(batches)).events] == [expected]


async def test_who_is_behind_the_ring_reads_the_table(
    tenant: Tenant, database: AsyncEngine, followed: ProcessEventFeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "RING_EVENTS", 10)
    monkeypatch.setattr(feeds, "POLL_SECONDS", 0.1)
    async with (
        aclosing(followed.subscribe(anybody(tenant), 0)) as slow,
        aclosing(followed.subscribe(anybody(tenant), 0)) as quick,
        asyncio.timeout(20),
    ):
        await write(database, tenant.id, 1)
        seen = {}
        for name, batches in (("s", slow), ("q", quick)):
            seen[name] = [event.seq for event in (await anext(batches)).events]
        await write(database, tenant.id, 500)
        while len(seen["q"]) < 501:
            seen["q"] += [event.seq for event in (await anext(quick)).events]
        feed, _ = followed._feeds[tenant.id]
        assert (feed.last, len(feed.ring), feed.since(1)) == (501, 10, None)
        # It took nothing for a while; nothing was kept for it, and nothing is lost to it.
        while len(seen["s"]) < 501:
            seen["s"] += [event.seq for event in (await anext(slow)).events]
        assert seen["s"] == seen["q"] == list(range(1, 502))
        await write(database, tenant.id, 1)
        assert [event.seq for event in (await anext(slow)).events] == [502]


async def test_a_feed_outlives_trouble_with_the_bus(
    tenant: Tenant, database: AsyncEngine, followed: ProcessEventFeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.core.retry.RETRY_SECONDS", 0.05)
    really, failures = followed._bus.subscribe_wakeups, [RuntimeError("draining")]

    def troubled(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return really(*arguments)

    monkeypatch.setattr(followed._bus, "subscribe_wakeups", troubled)
    async with aclosing(followed.subscribe(anybody(tenant), 0)) as batches, asyncio.timeout(30):
        await write(database, tenant.id, 1)
        assert [event.seq for event in (await anext(batches)).events] == [1]
    assert not failures


async def test_a_feed_outlives_trouble_with_the_database(
    tenant: Tenant, database: AsyncEngine, followed: ProcessEventFeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "POLL_SECONDS", 0.1)
    really, failures = feeds.read_after, [ConnectionRefusedError("away"), RuntimeError("still not itself")]

    async def troubled(*arguments: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return await really(*arguments)

    monkeypatch.setattr(feeds, "read_after", troubled)
    await write(database, tenant.id, 3)
    async with aclosing(followed.subscribe(anybody(tenant), 0)) as batches, asyncio.timeout(10):
        assert [event.seq for event in (await anext(batches)).events] == [1, 2, 3]
    assert not failures
