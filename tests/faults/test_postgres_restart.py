"""Postgres is restarted: its connections are replaced without a failed read, and a reply loses nothing."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from caret.adapters.postgres import create_engine
from caret.embedded.postgres import EmbeddedPostgres
from caret.migrate import migrate
from tests.conftest import Services, make_tenant
from tests.faults.helpers import SEND, Asked, Followers, ask, follow, one_ending
from tests.support.clients import Caller
from tests.support.llm import Script
from tests.support.relay import Relay
from tests.support.servers import running_server


async def test_the_pool_replaces_what_the_server_has_closed(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "postgres")
    url = postgres.start()
    database = create_engine(url)
    try:
        async with database.connect() as one, database.connect() as other:
            ended = [await backend(one), await backend(other)]
            drivers = [(await each.get_raw_connection()).driver_connection for each in (one, other)]
        async with database.connect() as last:
            await last.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            )
        async with asyncio.timeout(30):
            while not any(driver.is_closed() for driver in drivers if driver is not None):
                await asyncio.sleep(0.01)
        async with database.connect() as one, database.connect() as other:
            # One of the two did the ending and lives on.
            assert len({await backend(one), await backend(other)} & set(ended)) == 1
    finally:
        await database.dispose()
        postgres.stop()


async def backend(connection: AsyncConnection) -> int:
    return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())


AWAY = 8.0
"""Seconds that the database is gone: longer than a follower's silence, after which it looks for the row."""


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
async def fragile(services: Services, tmp_path: Path) -> AsyncIterator[tuple[EmbeddedPostgres, Relay, dict[str, str]]]:
    """A Postgres that can be restarted under one address, and the settings of servers that use it."""
    postgres = EmbeddedPostgres(tmp_path / "postgres")
    relay = Relay()
    try:
        url = relay.open(postgres.start())
        await migrate(url)
        yield postgres, relay, {**services.settings, "database_url": url}
    finally:
        relay.stop()
        postgres.stop()


async def test_postgres_is_restarted(
    fragile: tuple[EmbeddedPostgres, Relay, dict[str, str]],
    services: Services,
    gate: threading.Event,
) -> None:
    """The model goes on meanwhile and has finished before the database is back: nothing of it is lost."""
    postgres, relay, settings = fragile
    services.llm.on("survive it", Script(["Before, ", "meanwhile, ", "after."], gate=gate))
    database = create_engine(settings["database_url"])
    with (
        running_server(**settings) as one,
        running_server(**settings) as two,
    ):
        tenant = await make_tenant(one, database)
        caller = await tenant.user()
        here = await ask(caller, "survive it")
        everybody = Followers(here, here.at(tenant, two))
        await everybody.hear()
        relay.close()
        postgres.stop()
        gate.set()
        await asyncio.sleep(AWAY)
        relay.open(postgres.start())
        streamed, end = await everybody.ending()
        assert (streamed, end["message"]) == ("Before, meanwhile, after.", {"content": streamed, "state": "DONE"})
        assert (await here.stored())["state"] == "DONE"
        await finished(here.caller, here)
        for each in tenant.callers:
            await each.close()
    await database.dispose()


async def finished(caller: Caller, reply: Asked) -> None:
    """The conversation goes on."""
    again = (await caller.data(SEND, c=reply.conversation, m="and on"))["sendMessage"]["reply"]["id"]
    assert one_ending(await follow(Asked(caller, "", reply.conversation, again)))["message"]["state"] == "DONE"
