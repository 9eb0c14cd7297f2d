"""Runs the migrations of the database, under a lock."""

from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from caret.adapters.postgres import with_driver

LOCK = 0x6361726574  # "caret"


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(str(files("migrations")))))
    return config


async def migrate(url: str, revision: str = "head") -> None:
    """Migrates the database to a revision; "base" removes everything. Of several callers at once, one does the work."""
    engine = create_async_engine(with_driver(url), hide_parameters=True)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
            await connection.commit()
            try:
                await connection.run_sync(_migrate, revision)
            finally:
                await connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
                await connection.commit()
    finally:
        await engine.dispose()


def _migrate(connection: Connection, revision: str) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    if revision == "base":
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)
    connection.commit()
