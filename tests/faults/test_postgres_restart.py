"""Connections that a restart of Postgres has ended are replaced, without a failed read."""

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from caret.embedded.postgres import EmbeddedPostgres
from caret.postgres import engine


async def test_the_pool_replaces_what_the_server_has_closed(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "postgres")
    url = postgres.start()
    database = engine(url)
    try:
        async with database.connect() as one, database.connect() as other:
            ended = [await backend(one), await backend(other)]
        async with database.connect() as last:
            await last.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            )
        async with database.connect() as one, database.connect() as other:
            # One of the two did the ending and lives on.
            assert len({await backend(one), await backend(other)} & set(ended)) == 1
    finally:
        await database.dispose()
        postgres.stop()


async def backend(connection: AsyncConnection) -> int:
    return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
