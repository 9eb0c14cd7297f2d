"""Roles: Role declares each once; the tests name the second places."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from models import Role
from models.workspace import ADMIN_ROLES
from schema import schema


@pytest.mark.parametrize("table", ["members", "invites"])
async def test_the_database_accepts_every_role(database: AsyncEngine, table: str) -> None:
    """The one other place that must list a new role: a migration widens these constraints."""
    query = text(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = to_regclass(:table) AND conname = 'role_known'"
    )
    async with database.connect() as connection:
        definition = (await connection.execute(query, {"table": table})).scalar_one()
    assert [role for role in Role if f"'{role.value}'" not in definition] == []


def test_graphql_has_every_role() -> None:
    enum = schema.get_type_by_name("Role")
    assert {value.value for value in enum.values} == set(Role)  # type: ignore[union-attr]  # an enum's


def test_some_role_manages_a_workspace_and_some_does_not() -> None:
    assert set() < set(ADMIN_ROLES) < set(Role)
