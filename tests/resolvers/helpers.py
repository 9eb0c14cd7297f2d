"""Short ways to say what the tests of the resolvers say often."""

import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVarTuple

import pytest
from sqlalchemy import event, insert, select, update
from sqlmodel import col

from models import Note, Plan, Role, Tag
from models.base import Record, new_id
from models.note import NoteChange, NoteDraft
from models.transcript import TranscriptDraft
from resolvers import notes
from resolvers.auth import credentials
from resolvers.core.context import Context
from resolvers.core.drafts import parse_draft
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.nested_pages import Pages
from resolvers.core.pagination import Page
from resolvers.core.viewer import Viewer
from schema import schema
from schema.execution.request import Request

Arguments = TypeVarTuple("Arguments")


@dataclass
class OwnWorkspace:
    """A workspace of its own, and its admin's context."""

    ctx: Context
    tags: dict[str, uuid.UUID] = field(default_factory=dict)

    async def member(self, role: Role = Role.MEMBER) -> Context:
        user_id = new_id()
        async with self.ctx.transaction() as tx:
            await credentials.ensure_user(tx, user_id, f"{user_id}@people.example", "Someone")
            await credentials.add_member(tx, self.ctx.viewer.workspace_id, user_id, role)
        return self.ctx.for_viewer(Viewer(user_id, self.ctx.viewer.workspace_id, role))

    async def tag(self, name: str) -> uuid.UUID:
        tag_id = new_id()
        values = {"id": tag_id, "workspace_id": self.ctx.viewer.workspace_id, "name": name, "color": "#112233"}
        async with self.ctx.transaction() as tx:
            await tx.execute(insert(Tag).values(values))
        self.tags[name] = tag_id
        return tag_id


async def make_own_workspace(ctx: Context) -> OwnWorkspace:
    user_id = new_id()
    async with ctx.transaction() as tx:
        workspace_id = await credentials.create_workspace(tx, "Test", Plan.ENTERPRISE)
        await credentials.ensure_user(tx, user_id, f"{user_id}@people.example", "Admin")
        await credentials.add_member(tx, workspace_id, user_id, Role.ADMIN)
    return OwnWorkspace(ctx.for_viewer(Viewer(user_id, workspace_id, Role.ADMIN)))


async def write(ctx: Context, title: str = "A note", **fields: Any) -> Record:
    return await notes.create_note(ctx, parse_draft(NoteDraft, {"title": title, **fields}))


async def change(ctx: Context, note: Record, if_revision: int | None = None, **fields: Any) -> Record:
    return await notes.update_note(ctx, note.id, parse_draft(NoteChange, fields), if_revision)


async def append(ctx: Context, note: Record, *texts: str) -> Record:
    return await notes.append_transcript(ctx, note.id, parse_draft(TranscriptDraft, {"segments": spoken(*texts)}))


def spoken(*texts: str) -> list[dict[str, Any]]:
    return [
        {"speaker": "Ann", "text": text, "startTimestamp": "00:00:01", "endTimestamp": "00:00:02"} for text in texts
    ]


async def page_of(
    read: Callable[[Context, Sequence[uuid.UUID], *Arguments], Awaitable[Pages]],
    ctx: Context,
    parent_id: uuid.UUID,
    *arguments: *Arguments,
) -> Page:
    """The page of one parent, by a function that reads those of many."""
    page = (await read(ctx, [parent_id], *arguments))[parent_id]
    if isinstance(page, Problem):
        raise page
    return page


async def set_columns(ctx: Context, note: Record, **values: Any) -> None:
    """Writes what no caller may."""
    async with ctx.transaction() as tx:
        await tx.execute(update(Note).where(col(Note.id) == note.id).values(**values))


async def embedder_of(ctx: Context, note: Record) -> str | None:
    """Which embedder made the note's chunks: shown to nobody."""
    async with ctx.read() as tx:
        embedder: str | None = await tx.connection.scalar(select(col(Note.embedder)).where(col(Note.id) == note.id))
    return embedder


def with_limits(ctx: Context, **limits: Any) -> Context:
    return replace(ctx, limits=replace(ctx.limits, **limits))


@contextmanager
def refused(code: ErrorCode, field: str | None = None) -> Iterator[None]:
    with pytest.raises(Problem) as caught:
        yield
    assert (caught.value.code, caught.value.field) == (code, field), caught.value.message


@contextmanager
def statements(ctx: Context) -> Iterator[list[str]]:
    """The SQL that runs meanwhile."""
    told: list[str] = []
    with hearing(ctx, lambda statement, _: told.append(statement)):
        yield told


@contextmanager
def executed(ctx: Context) -> Iterator[list[tuple[str, Any]]]:
    """The SQL that runs meanwhile, with its parameters."""
    told: list[tuple[str, Any]] = []
    with hearing(ctx, lambda statement, parameters: told.append((statement, parameters))):
        yield told


@contextmanager
def hearing(ctx: Context, tell: Callable[[str, Any], None]) -> Iterator[None]:
    def hear(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        tell(statement, parameters)

    engine = ctx.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", hear)


async def graphql(ctx: Context, query: str, **variables: Any) -> Any:
    """The data of an operation that has no errors."""
    result = await schema.execute(query, variable_values=variables, context_value=Request(ctx))
    assert not result.errors, result.errors
    return result.data
