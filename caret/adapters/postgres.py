"""Postgres: the engine, and checks of the database."""

import asyncio

from sqlalchemy import AdaptedConnection, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from caret.settings import SettingsError
from migrations import HEAD

POOL_SIZE = 20
"""Connections of one process at most. None is held while something outside is waited for, so few are enough."""
POOL_WAIT_SECONDS = 15
CONNECT_SECONDS = 10
CHECK_SECONDS = 5.0
"""For so long a database may take to accept a command."""

SESSION_SETTINGS = {
    # A filtered vector search goes on scanning until it has enough rows: a filter never costs results.
    # The results are put in order by the vectors themselves afterwards, hence "relaxed".
    "hnsw.iterative_scan": "relaxed_order",
    "hnsw.max_scan_tuples": "1000000",
    "hnsw.scan_mem_multiplier": "8",
    # Planned for the values of each query: workspaces differ a thousandfold in size and words in how common they are.
    # A plan for any value took 240 ms to search 50,000 notes for a common word, this one 7.
    "plan_cache_mode": "force_custom_plan",
    "timezone": "UTC",
    # A request that waits longer has lost its caller; a forgotten transaction blocks others.
    "statement_timeout": "30000",
    "idle_in_transaction_session_timeout": "60000",
    "application_name": "caret",
}


def create_engine(url: str, ef_search: int | None = None) -> AsyncEngine:
    """The engine for a `postgresql://` URL. `ef_search`: chunks that a semantic search considers at a time."""
    search = {} if ef_search is None else {"hnsw.ef_search": str(ef_search)}
    engine = create_async_engine(
        with_driver(url),
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        # The parameters are people's notes: they belong in no error message, and so in no log.
        hide_parameters=True,
        connect_args={"server_settings": SESSION_SETTINGS | search, "timeout": CONNECT_SECONDS},
    )
    event.listen(engine.sync_engine, "checkout", refuse_closed)
    return engine


def refuse_closed(connection: AdaptedConnection, *_: object) -> None:
    """Makes the pool replace a connection that the server has closed. Unlike a ping this costs no round trip, which
    every read would pay: asyncpg notices the end by itself."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


async def reach(url: str) -> None:
    """Returns when the database has accepted us. Raises SettingsError with one line."""
    try:
        engine = create_engine(url)
        try:
            async with asyncio.timeout(CHECK_SECONDS), engine.connect():
                pass
        finally:
            await engine.dispose()
    except TimeoutError:
        raise SettingsError(f"CARET_DATABASE_URL: no answer within {CHECK_SECONDS:.0f} seconds.") from None
    except DBAPIError as error:
        raise SettingsError(f"CARET_DATABASE_URL: the database refuses: {_cause(error)}") from None
    except (SQLAlchemyError, OSError, ValueError) as error:
        raise SettingsError(f"CARET_DATABASE_URL: no database can be used there: {error}") from None


def _cause(error: DBAPIError) -> str:
    # The driver's own text, without SQLAlchemy's frame and the name of the driver's class.
    return str(error.orig).rpartition("Error'>: ")[2]


def with_driver(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme not in {"postgres", "postgresql", "postgresql+asyncpg"}:
        raise ValueError("must be a postgresql:// address")
    return f"postgresql+asyncpg://{rest}"


async def is_migrated(engine: AsyncEngine) -> bool:
    """Whether the database is at this program's newest revision. Without Alembic, which takes long to import."""
    async with engine.connect() as connection:
        if await connection.scalar(text("SELECT to_regclass('alembic_version') IS NULL")):
            return False
        return set(await connection.scalars(text("SELECT version_num FROM alembic_version"))) == {HEAD}
