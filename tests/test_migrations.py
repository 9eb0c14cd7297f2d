"""The migrations against the models, on databases of their own."""

import asyncio
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel

import models  # noqa: F401 (fills SQLModel.metadata)
from caret.adapters.postgres import create_engine, is_migrated, with_driver
from caret.migrate import alembic_config, migrate
from migrations import HEAD
from tests.conftest import Services
from tests.support.databases import empty_database

EVERYTHING = """
SELECT 'column', table_name::text, column_name::text, data_type::text, is_nullable::text, column_default::text,
  generation_expression::text FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', tablename, indexname, indexdef, '', '', '' FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', ''
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'words', cfgname, '', '', '', '', '' FROM pg_ts_config WHERE cfgnamespace = 'public'::regnamespace
ORDER BY 1, 2, 3, 4
"""


async def structure(url: str) -> list[tuple[Any, ...]]:
    database = create_async_engine(with_driver(url))
    try:
        async with database.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(EVERYTHING))]
    finally:
        await database.dispose()


async def migrated(url: str) -> bool:
    database = create_engine(url)
    try:
        return await is_migrated(database)
    finally:
        await database.dispose()


async def test_there_and_back_and_there_again(services: Services) -> None:
    async with empty_database(services.database_url) as url:
        empty = await structure(url)
        assert (empty, await migrated(url)) == ([], False)
        await migrate(url)
        there = await structure(url)
        assert (len(there) > 100, await migrated(url)) == (True, True)
        await migrate(url)
        assert await structure(url) == there
        await migrate(url, "base")
        left = {row[:2] for row in await structure(url)}
        # Alembic's own table stays, empty.
        assert ({table for _, table in left}, await migrated(url)) == ({"alembic_version"}, False)
        await migrate(url)
        assert (await structure(url), await migrated(url)) == (there, True)


async def test_the_models_are_what_the_migrations_make(services: Services) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, SQLModel.metadata))

    database = create_engine(services.database_url)
    try:
        async with database.connect() as connection:
            assert await connection.run_sync(differences) == []
    finally:
        await database.dispose()


async def test_a_database_created_from_the_models_has_the_same_structure(services: Services) -> None:
    """Also of what `compare_metadata` does not compare: checks, generated columns, kinds of indexes."""
    async with empty_database(services.database_url) as url:
        await migrate(url)
        expected = [row for row in await structure(url) if row[1] != "alembic_version"]
        database = create_async_engine(with_driver(url))
        async with database.begin() as connection:
            await connection.run_sync(SQLModel.metadata.drop_all)
            await connection.run_sync(SQLModel.metadata.create_all)
        await database.dispose()
        assert [row for row in await structure(url) if row[1] != "alembic_version"] == expected


@pytest.mark.parametrize("revision", ["head", "base"])
async def test_several_at_once(services: Services, revision: str) -> None:
    async with empty_database(services.database_url) as url:
        if revision == "base":
            await migrate(url)
        await asyncio.gather(*(migrate(url, revision) for _ in range(3)))
        assert await migrated(url) == (revision == "head")


async def test_going_back_with_data_in_it(services: Services) -> None:
    async with empty_database(services.database_url) as url:
        await migrate(url)
        database = create_engine(url)
        async with database.begin() as connection:
            await connection.execute(
                text(
                    "WITH someone AS (INSERT INTO users (id, name) VALUES (gen_random_uuid(), 'A') RETURNING id)"
                    " INSERT INTO workspaces (id, name, user_id) SELECT gen_random_uuid(), 'W', id FROM someone"
                )
            )
        await database.dispose()
        await migrate(url, "base")
        await migrate(url)
        assert await migrated(url)


def test_the_newest_revision_is_the_one_the_program_asks_for() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [HEAD]
