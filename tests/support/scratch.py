"""Databases that last as long as a test."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from caret.adapters.postgres import with_driver


@asynccontextmanager
async def scratch_database(beside: str) -> AsyncIterator[str]:
    """An empty database on the server of another, gone afterwards."""
    name = f"scratch_{uuid.uuid4().hex}"
    server = create_async_engine(with_driver(beside), isolation_level="AUTOCOMMIT")
    try:
        async with server.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
        yield beside.rpartition("/")[0] + f"/{name}"
    finally:
        async with server.connect() as connection:
            await connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        await server.dispose()
