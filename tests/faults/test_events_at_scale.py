"""Many events, and followers on two servers that break off, stand still and come back: no event is missed."""

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import pytest
import websockets
from sqlalchemy.ext.asyncio import AsyncEngine

from caret.adapters.nats_bus import NatsBus
from models import EventType
from models.base import as_id, new_id
from resolvers.core import cursors
from resolvers.core.database import Transaction
from resolvers.events.log import publish
from tests.conftest import Services, Tenant, make_tenant
from tests.faults.helpers import CREATE, elsewhere, parts
from tests.faults.test_events import log
from tests.support.clients import PROTOCOL, Caller
from tests.support.servers import RunningServer, ServerProcess, server_process
from tests.support.sizes import size

WORKSPACES, EVENTS, FOLLOWERS = size((2, 2_400, 16), (8, 10_000, 50))
AT_ONCE = 25
"""Events of one commit."""
QUERY = "subscription($after: Cursor) { workspaceEvents(after: $after) { cursor id } }"


@pytest.fixture
def killed_server(services: Services) -> Iterator[ServerProcess]:
    with server_process(**services.settings) as running:
        yield running


@dataclass
class Subscriber:
    """A client that reads some events, drops its connection, and comes back with its last cursor, to any server."""

    servers: list[Caller]
    workspace_id: UUID
    luck: random.Random
    received: list[str] = field(default_factory=list)
    cursor: str = ""
    visits: int = 0

    async def run(self, last: asyncio.Future[int]) -> None:
        self.cursor = cursors.encode("event", str(self.workspace_id), 0)
        while not (last.done() and len(self.received) >= last.result()):
            # The server may be killed at any moment as well.
            with suppress(websockets.ConnectionClosed, OSError):
                await self.visit(last)
            await asyncio.sleep(self.luck.random() * 0.2)

    async def visit(self, last: asyncio.Future[int]) -> None:
        self.visits += 1
        caller, max_messages = self.luck.choice(self.servers), self.luck.randrange(1, 700)
        headers = {"Authorization": f"Bearer {caller.credential}"}
        async with websockets.connect(
            caller.served.ws_url, subprotocols=[PROTOCOL], additional_headers=headers, max_queue=4, compression=None
        ) as connection:
            await connection.send('{"type":"connection_init"}')
            payload = {"query": QUERY, "variables": {"after": self.cursor}}
            await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            for _ in range(max_messages):
                await self.take(orjson.loads(await connection.recv()))
                if last.done() and len(self.received) >= last.result():
                    break
                if self.luck.random() < 0.003:
                    # Long enough to be behind what the server keeps for those who keep up.
                    await asyncio.sleep(self.luck.choice((0.1, 0.5, 3)))
            connection.transport.abort()

    async def take(self, message: dict[str, object]) -> None:
        if message["type"] in {"connection_ack", "ping"}:
            return
        assert message["type"] == "next", message
        event = message["payload"]["data"]["workspaceEvents"]  # type: ignore[index]
        self.received.append(event["id"])
        self.cursor = event["cursor"]


@pytest.mark.soak
async def test_subscribers_that_come_and_go_miss_no_event(
    services: Services, server: RunningServer, killed_server: ServerProcess, database: AsyncEngine
) -> None:
    luck = random.Random(6)
    tenants = [await make_tenant(server, database) for _ in range(WORKSPACES)]
    notes, followers = [], []
    for tenant in tenants:
        writer = await tenant.key()
        notes.append(as_id((await writer.data(CREATE, t="Followed"))["createNote"]["id"]))
    for number in range(FOLLOWERS):
        tenant = tenants[number % WORKSPACES]
        here = await (tenant.user() if number % 3 else tenant.key())
        servers = [here, elsewhere(tenant, here, killed_server)]
        followers.append(Subscriber(servers, tenant.id, random.Random(luck.random())))
    lasts = {tenant.id: asyncio.get_running_loop().create_future() for tenant in tenants}
    async with asyncio.timeout(280), asyncio.TaskGroup() as group:
        for follower in followers:
            group.create_task(follower.run(lasts[follower.workspace_id]))
        await write(services, database, dict(zip(lasts, notes, strict=True)), luck, killed_server)
        for tenant in tenants:
            lasts[tenant.id].set_result(len(await log(database, tenant.id)))
    for tenant in tenants:
        table = await log(database, tenant.id)
        assert [seq for seq, _ in table] == list(range(1, len(table) + 1))
        expected = [ident for _, ident in table]
        assert len(expected) >= EVENTS // WORKSPACES
        for follower in followers:
            if follower.workspace_id == tenant.id:
                # The worker may have indexed the note after all was over.
                assert len(follower.received) >= lasts[tenant.id].result()
                assert follower.received == expected[: len(follower.received)]
                assert follower.visits > 1
    await leave(tenants)


async def write(
    services: Services,
    database: AsyncEngine,
    notes: dict[UUID, UUID | None],
    luck: random.Random,
    killed: ServerProcess,
) -> None:
    """The events, in any order of the workspaces. Halfway the web process of a server is killed."""
    bus = await NatsBus.connect(services.nats_url)
    for number in range(0, EVENTS, AT_ONCE):
        if number == EVENTS // 2:
            parts(killed, "web")[0].kill()
        workspace_id = list(notes)[number // AT_ONCE % WORKSPACES]
        async with database.begin() as connection:
            tx = Transaction(connection)
            for _ in range(AT_ONCE):
                kind = luck.choice((EventType.NOTE_UPDATED, EventType.NOTE_INDEXED))
                # Of the note, or of a deleted one that every member could read.
                note_id = luck.choice((notes[workspace_id], None))
                payload: dict[str, Any] = {} if note_id else {"audience": {"private": False, "users": []}}
                await publish(tx, None, kind, workspace_id=workspace_id, note_id=note_id or new_id(), **payload)
        for woken, seq in tx.wakeups.items():
            await bus.publish_wakeup(woken, seq)
    await bus.close()


async def leave(tenants: list[Tenant]) -> None:
    for tenant in tenants:
        for caller in tenant.callers:
            await caller.close()
