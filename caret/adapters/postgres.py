"""Postgres: the engine, and whether the database is the one this program wants."""

import asyncio

from sqlalchemy import AdaptedConnection, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from caret.settings import SettingsError
from migrations import HEAD

POOL = 20
"""Connections of one process at most. Nothing holds one while it waits on the outside, so few are enough."""

SESSION = {
    # A filtered vector search goes on scanning until it has enough rows: a filter never costs results.
    # What it finds is put in order by the vectors themselves afterwards, hence "relaxed".
    "hnsw.iterative_scan": "relaxed_order",
    "hnsw.max_scan_tuples": "1000000",
    "hnsw.scan_mem_multiplier": "8",
    # Planned for the values at hand: workspaces differ a thousandfold in size and words in how common they are. A plan
    # for any value took 240 ms to search 50,000 notes for a common word, this one 7.
    "plan_cache_mode": "force_custom_plan",
    "timezone": "UTC",
    # A request that waits longer than this has lost its caller; a forgotten transaction blocks others.
    "statement_timeout": "30000",
    "idle_in_transaction_session_timeout": "60000",
    "application_name": "caret",
}

PATIENCE = 5.0
"""Seconds that a database may take to let a command in."""


def engine(url: str, ef_search: int | None = None) -> AsyncEngine:
    """`url` is the usual postgresql:// one. `ef_search`: chunks that a semantic search considers at a time."""
    search = {} if ef_search is None else {"hnsw.ef_search": str(ef_search)}
    made = create_async_engine(
        with_driver(url),
        pool_size=POOL,
        max_overflow=0,
        pool_timeout=15,
        # The parameters are people's notes: they belong in no error message, and so in no log.
        hide_parameters=True,
        connect_args={"server_settings": SESSION | search, "timeout": 10},
    )
    event.listen(made.sync_engine, "checkout", refuse_closed)
    return made


def refuse_closed(connection: AdaptedConnection, *_: object) -> None:
    """Lets the pool replace a connection that the server has closed. Unlike a ping this costs no round trip, which
    every read would pay: asyncpg hears of the end by itself."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


async def reach(url: str) -> None:
    """Returns once the database has let us in. Raises SettingsError with one line."""
    try:
        opened = engine(url)
        try:
            async with asyncio.timeout(PATIENCE), opened.connect():
                pass
        finally:
            await opened.dispose()
    except TimeoutError:
        raise SettingsError(f"CARET_DATABASE_URL: no answer within {PATIENCE:.0f} seconds.") from None
    except DBAPIError as error:
        raise SettingsError(f"CARET_DATABASE_URL: the database refuses: {_cause(error)}") from None
    except (SQLAlchemyError, OSError, ValueError) as error:
        raise SettingsError(f"CARET_DATABASE_URL: no database can be used there: {error}") from None


def _cause(error: DBAPIError) -> str:
    # The driver's own words, without SQLAlchemy's frame and the name of the driver's class.
    return str(error.orig).rpartition("Error'>: ")[2]


def with_driver(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme not in {"postgres", "postgresql", "postgresql+asyncpg"}:
        raise ValueError("must be a postgresql:// address")
    return f"postgresql+asyncpg://{rest}"


async def is_migrated(database: AsyncEngine) -> bool:
    """Whether the database is at this program's newest revision. Without Alembic, which takes long to import."""
    async with database.connect() as connection:
        if await connection.scalar(text("SELECT to_regclass('alembic_version') IS NULL")):
            return False
        return set(await connection.scalars(text("SELECT version_num FROM alembic_version"))) == {HEAD}
