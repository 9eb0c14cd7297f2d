"""A workspace full of secrets: every text that a row can hold has one, and each tells where it was hidden."""

import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, Column, Table, Text, UniqueConstraint, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from models import Note
from tests.support.walk import EMAIL, MOMENT, PHRASE

# The vector spaces are the server's: the names of its embedders.
TABLES = {table.name: table for table in Note.metadata.sorted_tables if table.name != "vector_spaces"}
# What is no text of the workspace's: what a key may do, what its callers have spent, what its replies have used, who
# embeds its notes.
RULES = {"api_keys.scopes", "rate_windows.spent", "messages.usage", "notes.embedder"}


def singular(table: str) -> str:
    return f"{table.removesuffix('ies')}y" if table.endswith("ies") else table.removesuffix("s")


@dataclass
class Secrets:
    """`ids`: of each kind of thing those of the workspace, by the singular of its table."""

    workspace_id: UUID
    mark: str = field(default_factory=lambda: f"secret{uuid4().hex[:8]}")
    ids: dict[str, list[str]] = field(default_factory=dict)
    planted: set[str] = field(default_factory=set)

    def revealed_by(self, text: str) -> set[str]:
        """Where the secrets that the text gives away were hidden; `?` for one that only the model was told."""
        return set(re.findall(rf"{self.mark}/([a-z_.]+|\?)", text))

    def secret(self, column: str) -> str:
        return f"{PHRASE} {self.mark}/{column} "

    async def plant(self, connection: AsyncConnection) -> None:
        """Hides a secret in every text of every row of the workspace, and learns the rows' ids."""
        for name, table in TABLES.items():
            is_own = await self.condition(connection, table)
            columns = [column for column in table.columns if is_text(column) and f"{name}.{column.name}" not in RULES]
            for column in columns:
                value = self.hidden(column)
                if name == "events":
                    value = column.concat(value)
                elif is_unique(column):
                    value = func.concat(value, table.c.id)
                await connection.execute(update(table).where(is_own).values({column: value}))
            rows = (await connection.execute(select(table).where(is_own))).all()
            assert rows, f"the workspace has no row in {name}: make one, so that nobody's looking for it is tested"
            self.planted |= {f"{name}.{column.name}" for column in columns}
            if "id" in table.columns:
                self.ids[singular(name)] = [str(row.id) for row in rows]

    def hidden(self, column: Column[Any]) -> Any:
        name = f"{column.table.name}.{column.name}"
        text = self.secret(name)
        if isinstance(column.type, Text):
            return text
        if isinstance(column.type, ARRAY):
            return [text]
        shapes: dict[str, Any] = {
            "workspaces.settings": {"default_language": text, "brand_color": text},
            "notes.participants": [{"name": text, "email": EMAIL, "email_key": EMAIL, "account_name": text}],
            "notes.calendar_event": {"id": text, "title": text, "href": text, "starts_at": MOMENT, "ends_at": MOMENT}
            | {"attendees": [{"self": True, "email": EMAIL, "display_name": text}]},
            "notes.content_json": {"secret": text},
            "messages.tool_calls": [
                {"id": text, "tool_name": text, "text_offset": 0, "arguments": {"secret": text}}
                | {"result_summary": text, "result": text}
            ],
            "events.payload": {"secret": text},
            "deliveries.request_headers": {"secret": text},
            "deliveries.response_headers": {"secret": text},
        }
        assert name in shapes, f"add a value with a secret for {name}"
        return shapes[name]

    async def condition(self, connection: AsyncConnection, table: Table) -> Any:
        """Which rows are the workspace's."""
        if table.name == "workspaces":
            return table.c.id == self.workspace_id
        if table.name == "users":
            people = select(TABLES["members"].c.user_id).where(TABLES["members"].c.workspace_id == self.workspace_id)
            own = select(TABLES["workspaces"].c.user_id).where(TABLES["workspaces"].c.id == self.workspace_id)
            return table.c.id.in_(people.union(own))
        return table.c.workspace_id == self.workspace_id


async def dump(database: AsyncEngine, workspace_id: UUID) -> dict[str, list[str]]:
    """All rows of a workspace, by table."""
    secrets = Secrets(workspace_id)
    async with database.connect() as connection:
        return {
            name: sorted(
                str(tuple(row))
                for row in await connection.execute(select(table).where(await secrets.condition(connection, table)))
            )
            for name, table in TABLES.items()
        }


def is_text(column: Column[Any]) -> bool:
    return isinstance(column.type, Text | JSONB | ARRAY) and not column.computed


def is_unique(column: Column[Any]) -> bool:
    constraints = [one for one in column.table.constraints if isinstance(one, UniqueConstraint)]
    return bool(column.unique) or any(column.name in one.columns for one in constraints)
