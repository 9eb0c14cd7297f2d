"""Postgres: the engine, and the migrations."""

from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

POOL = 20
"""Connections of one process at most. Nothing holds one while it waits on the outside, so few are enough."""

SESSION = {
    # A filtered vector search goes on scanning until it has enough rows: a filter never costs results.
    "hnsw.iterative_scan": "strict_order",
    "hnsw.max_scan_tuples": "1000000",
    "timezone": "UTC",
    # A request that waits longer than this has lost its caller; a forgotten transaction blocks others.
    "statement_timeout": "30000",
    "idle_in_transaction_session_timeout": "60000",
    "application_name": "caret",
}

LOCK = 0x6361726574  # "caret"


def engine(url: str) -> AsyncEngine:
    """`url` is the usual postgresql:// one."""
    return create_async_engine(
        with_driver(url),
        pool_size=POOL,
        max_overflow=0,
        pool_timeout=15,
        pool_pre_ping=True,
        connect_args={"server_settings": SESSION, "timeout": 10},
    )


def with_driver(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme not in {"postgres", "postgresql", "postgresql+asyncpg"}:
        raise ValueError("must be a postgresql:// address")
    return f"postgresql+asyncpg://{rest}"


def migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(str(files("migrations")))))
    return config


async def migrate(url: str, revision: str = "head") -> None:
    """Brings the database to a revision; "base" takes everything back. Of several at once, one does the work."""
    target = create_async_engine(with_driver(url))
    try:
        async with target.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
            await connection.commit()
            try:
                await connection.run_sync(_migrate, revision)
            finally:
                await connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
                await connection.commit()
    finally:
        await target.dispose()


def _migrate(connection: Connection, revision: str) -> None:
    config = migrations()
    config.attributes["connection"] = connection
    if revision == "base":
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)
    connection.commit()


async def is_migrated(database: AsyncEngine) -> bool:
    """Whether the database is at this program's newest revision."""

    def at_head(connection: Connection) -> bool:
        heads = set(ScriptDirectory.from_config(migrations()).get_heads())
        return set(MigrationContext.configure(connection).get_current_heads()) == heads

    async with database.connect() as connection:
        return await connection.run_sync(at_head)
