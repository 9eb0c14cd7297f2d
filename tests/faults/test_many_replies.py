"""Slow models cost no connections: nothing holds one while it waits for words."""

import asyncio
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from caret.adapters.postgres import POOL_SIZE
from tests.conftest import Services, Tenant
from tests.faults.helpers import REPLY, TERMINAL, ask, taken
from tests.support.llm import Script
from tests.support.sizes import size

REPLIES = size(30, 50)
"""More than the connections of a pool."""
EXTRA_CONNECTIONS = 12
"""Connections that starting replies may open meanwhile, whatever their number; a burst of requests fills the pool."""
LIST = "{ notes(first: 20) { nodes { id title tags { name } createdBy { name } } } }"


async def connections(database: AsyncEngine) -> tuple[int, int]:
    """How many connections all servers have, and how many of them are in use (this question's own left out)."""
    query = text(
        "SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity "
        "WHERE application_name = 'caret' AND pid <> pg_backend_pid()"
    )
    async with database.connect() as connection:
        total, used = (await connection.execute(query)).one()
        return total, used


@pytest.mark.soak
async def test_replies_that_wait_for_their_model_hold_no_connection(
    tenant: Tenant, services: Services, database: AsyncEngine
) -> None:
    gate = threading.Event()
    services.llm.on("many of them", Script(["Slow ", "model."], gate=gate))
    caller = await tenant.user()
    started = [await ask(caller, f"many of them, number {number}") for number in range(5)]
    before, _ = await connections(database)
    started += [await ask(caller, f"many of them, number {number}") for number in range(5, REPLIES)]
    assert (await connections(database))[0] <= before + EXTRA_CONNECTIONS
    async with caller.socket() as socket:
        names = [await socket.start(REPLY, id=each.reply) for each in started]
        # Every reply has said its first word, and every follower has heard it.
        assert {(await taken(socket, name, 1))[0]["reply"]["content"] for name in names} == {"Slow "}
        assert (await connections(database))[0] <= before + POOL_SIZE
        assert len(services.llm.requests_with("many of them")) == REPLIES

        answers = await asyncio.gather(*(caller.data(LIST) for _ in range(20)))
        assert all(len(answer["notes"]["nodes"]) == 20 for answer in answers)
        # All of it while every reply is held back: none of them holds a connection.
        async with asyncio.timeout(30):
            while (await connections(database))[1]:
                await asyncio.sleep(0.05)
        gate.set()
        endings = [(await taken(socket, name, 2))[-1]["reply"] for name in names]
    assert {end["__typename"] for end in endings} <= TERMINAL
    assert {end["message"]["content"] for end in endings} == {"Slow model."}
