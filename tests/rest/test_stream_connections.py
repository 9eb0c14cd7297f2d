"""A REST stream is a connection like any other: it counts, and it ends with the token that it was opened with."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from caret.adapters.access_tokens import LEEWAY_SECONDS
from tests.conftest import Services, Tenant, make_tenant, token
from tests.replies.agent_conversation import AgentConversation, begin
from tests.support.clients import Caller
from tests.support.llm import Script
from tests.support.servers import running_server


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds every reply of the model after its first piece, until it is set."""
    gate = threading.Event()
    yield gate
    gate.set()


@asynccontextmanager
async def streaming(
    talk: AgentConversation, caller: Caller | None = None
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The data of a reply's events, once the first of them is there."""
    path = f"/api/v1/ai/conversations/{talk.id}/stream"
    async with (caller or talk.caller).sse("POST", path, json={"message": f"Hm? {talk.word}"}) as events:
        # Comments come as events without data.
        data = (orjson.loads(event.data) async for event in events if event.data)
        assert (await anext(data))["type"] == "delta"
        yield data


async def test_a_stream_ends_when_its_token_expires(tenant: Tenant, services: Services, gate: threading.Event) -> None:
    user = await tenant.user()
    assert user.user_id is not None
    talk = await begin(user, services)
    services.llm.on(talk.word, Script(["One ", "two."], gate=gate))
    short = Caller(tenant.server, token(user.user_id, lifetime=8 - LEEWAY_SECONDS))
    tenant.callers.append(short)
    async with streaming(talk, short) as events:
        [last] = [event async for event in events if event["type"] != "delta"]
    assert (last["type"], last["content"]) == (
        "error",
        "The access token has expired. Reconnect with a new token and your last cursor.",
    )
    # The reply itself went on: with a new token the user reads all of it.
    assert last["message_id"]
    gate.set()
    path = f"/api/v1/ai/conversations/{talk.id}/stream"
    async with user.sse("GET", path, params={"message_id": last["message_id"]}) as stream:
        *_, end = [orjson.loads(event.data) async for event in stream]
    assert (end["type"], end["content"]) == ("done", "One two.")


@pytest.fixture
async def small(services: Services, database: AsyncEngine) -> AsyncIterator[Tenant]:
    """A server that lets each caller have two connections."""
    with running_server(**services.settings, connections_per_caller="2") as served:
        tenant = await make_tenant(served, database)
        yield tenant
        for caller in tenant.callers:
            await caller.close()


async def test_streams_count_as_connections(small: Tenant, services: Services, gate: threading.Event) -> None:
    key, other = await small.key(), await small.key()
    talks = [await begin(key, services, title) for title in ("First", "Second", "Third")]
    for talk in talks:
        services.llm.on(talk.word, Script(["One ", "two."], gate=gate))
    async with streaming(talks[0]) as first, streaming(talks[1]):
        refused = await key.http.post(f"/api/v1/ai/conversations/{talks[2].id}/stream", json={"message": "Unheard"})
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limit_exceeded")
        # Refused before it was sent: otherwise a reply would be paid for that nobody reads.
        assert await talks[2].messages() == []
        joined = await key.http.get(
            f"/api/v1/ai/conversations/{talks[0].id}/stream",
            params={"message_id": (await talks[0].messages())[-1]["id"]},
        )
        assert joined.status_code == 429
        # They count together with the streams of the other edge.
        subscribed = await key.http.post(
            "/graphql", json={"query": "subscription{workspaceEvents{id}}"}, headers={"Accept": "text/event-stream"}
        )
        assert subscribed.status_code == 429
        async with other.socket():
            pass
        gate.set()
        assert [event["type"] async for event in first][-1] == "done"
        # The first stream has ended, so there is room again.
        async with streaming(talks[2]):
            pass
