"""Real clients, as they are in npm and on PyPI: each queries, changes and subscribes, and misses nothing when its
connection breaks in the middle."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gql import Client, GraphQLRequest
from gql.client import ReconnectingAsyncClientSession
from gql.transport.exceptions import TransportError
from gql.transport.websockets import WebsocketsTransport

from resolvers.core import cursors
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.npm import NEEDS_NODE, Node
from tests.support.relay import Relay
from tests.support.servers import RunningServer
from tests.test_main_job import CREATE

EVENTS = """subscription($after: Cursor) {
  workspaceEvents(types: [NOTE_CREATED], after: $after) { cursor note { title } }
}"""
MAKE = "mutation($title: String!) { createNote(input: { title: $title }) { title } }"
NOTES = "query($first: Int!) { notes(first: $first) { nodes { title } } }"
CLIENTS = sorted(path.stem for path in Path(__file__).parent.glob("npm/clients/*.mjs"))
AUDITS = 61

# The first test that needs the packages of npm may have to install them.
pytestmark = pytest.mark.timeout(600)


def beginning(tenant: Tenant) -> str:
    """The cursor before the first event of the workspace."""
    return cursors.encode("event", str(tenant.id), 0)


async def create(caller: Caller, *titles: str) -> None:
    for title in titles:
        await caller.data(CREATE, input={"title": title})


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay()
    yield relay
    relay.stop()


@NEEDS_NODE
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_misses_nothing(client: str, tenant: Tenant, relay: Relay, scripts: Path) -> None:
    key, url = await tenant.key(), tenant.server.url
    environment = {"CARET_URL": relay.open(url), "CARET_KEY": key.credential, "CARET_AFTER": beginning(tenant)}
    node = await Node.start(scripts, "walk.mjs", client, **environment)
    try:
        assert await node.line() == "cut"
        relay.close()
        await create(key, "two", "three")
        relay.open(url)
        await node.go_on()
        assert await node.json_line() == {
            "created": "one",
            "titles": ["one", "two", "three", "four"],
            "notes": ["four", "three", "two", "one"],
        }
        assert await node.lines() == []
    finally:
        await node.stop()


async def test_gql_misses_nothing(tenant: Tenant, relay: Relay) -> None:
    """The Python client, everything over its WebSocket, which its session opens again by itself."""
    key, url = await tenant.key(), tenant.server.ws_url
    payload = {"Authorization": f"Bearer {key.credential}"}
    client = Client(transport=WebsocketsTransport(relay.open(url), init_payload=payload))
    session: ReconnectingAsyncClientSession = await client.connect_async(reconnecting=True)  # type: ignore[no-untyped-call]  # gql's
    titles: asyncio.Queue[str] = asyncio.Queue()
    following = asyncio.create_task(follow(session, beginning(tenant), titles))
    try:
        assert await execute(session, MAKE, title="one") == {"createNote": {"title": "one"}}
        assert await next_title(titles) == "one"
        relay.close()
        await create(key, "two", "three")
        relay.open(url)
        assert [await next_title(titles), await next_title(titles)] == ["two", "three"]
        await execute(session, MAKE, title="four")
        assert await next_title(titles) == "four"
        notes = await execute(session, NOTES, first=4)
        assert [note["title"] for note in notes["notes"]["nodes"]] == ["four", "three", "two", "one"]
        assert titles.empty()
    finally:
        following.cancel()
        await client.close_async()  # type: ignore[no-untyped-call]


async def execute(session: ReconnectingAsyncClientSession, text: str, **variables: Any) -> dict[str, Any]:
    return await session.execute(GraphQLRequest(text, variable_values=variables))


async def follow(session: ReconnectingAsyncClientSession, after: str, titles: asyncio.Queue[str]) -> None:
    """Puts the title of each created note into the queue. After a lost connection it resumes from the last cursor."""
    while True:
        try:
            async for data in session.subscribe(GraphQLRequest(EVENTS, variable_values={"after": after})):
                after = data["workspaceEvents"]["cursor"]
                titles.put_nowait(data["workspaceEvents"]["note"]["title"])
        except TransportError:
            await asyncio.sleep(0.05)


async def next_title(titles: asyncio.Queue[str]) -> str:
    async with asyncio.timeout(60):
        return await titles.get()


@NEEDS_NODE
async def test_every_audit_passes(server: RunningServer, scripts: Path) -> None:
    """graphql-http's audits of a server, from the MUST of GraphQL over HTTP to its SHOULD and MAY."""
    node = await Node.start(scripts, "audits.mjs", CARET_URL=server.url)
    audits = [json.loads(line) for line in await node.lines()]
    failed = [audit for audit in audits if audit[2] != "ok"]
    assert (failed, len(audits)) == ([], AUDITS)
