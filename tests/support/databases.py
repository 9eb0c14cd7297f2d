"""Databases that last as long as a test, on the Postgres that all tests share."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from caret.adapters.postgres import with_driver
from caret.migrate import migrate

TEMPLATE = "caret_template"


async def prepare(url: str) -> None:
    """Migrates the database, and makes the template of `migrated_database`."""
    await migrate(url)
    server, name = url.rpartition("/")[::2]
    async with _connection(f"{server}/postgres") as connection:
        # Nobody pulls the plug of this Postgres: its commits need not wait for the disk.
        await connection.execute(text("ALTER ROLE CURRENT_USER SET synchronous_commit = off"))
        await connection.execute(text(f"CREATE DATABASE {TEMPLATE} TEMPLATE {name}"))


@asynccontextmanager
async def migrated_database(beside: str) -> AsyncIterator[str]:
    """The address of a database with this program's tables, on the server of another. It is dropped in the end."""
    async with _database(beside, TEMPLATE) as url:
        yield url


@asynccontextmanager
async def empty_database(beside: str) -> AsyncIterator[str]:
    """The same without any tables."""
    async with _database(beside, "template1") as url:
        yield url


@asynccontextmanager
async def _database(beside: str, template: str) -> AsyncIterator[str]:
    name = f"scratch_{uuid.uuid4().hex}"
    async with _connection(beside) as connection:
        await connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    try:
        yield beside.rpartition("/")[0] + f"/{name}"
    finally:
        async with _connection(beside) as connection:
            await connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[AsyncConnection]:
    server = create_async_engine(with_driver(url), isolation_level="AUTOCOMMIT")
    try:
        async with server.connect() as connection:
            yield connection
    finally:
        await server.dispose()
