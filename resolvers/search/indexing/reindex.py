"""Making the chunks of whole workspaces anew."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlmodel import col

from models import Note, Workspace
from resolvers.core.context import Context

BEFORE = (col(Note.workspace_id) == col(Workspace.id), col(Note.indexed_at) < col(Workspace.reindex_since))


@dataclass(frozen=True, slots=True)
class Left:
    """`workspaces` that are being indexed anew, and the `notes` of them that are still to be done."""

    workspaces: int
    notes: int


async def reindex(ctx: Context, workspace_id: UUID | None) -> int:
    """From now on the notes of a workspace, or of all, are outdated. Where that has begun before it goes on; returns
    the number of workspaces where it begins."""
    begun = update(Workspace).where(col(Workspace.reindex_since).is_(None), *_of(workspace_id))
    async with ctx.transaction() as tx:
        return (await tx.execute(begun.values(reindex_since=func.now()))).rowcount


async def left(ctx: Context, workspace_id: UUID | None) -> Left:
    mine = (col(Workspace.reindex_since).is_not(None), *_of(workspace_id))
    notes = select(func.count()).select_from(Note).join(Workspace, BEFORE[0]).where(BEFORE[1], *mine)
    workspaces = select(func.count()).select_from(Workspace).where(*mine)
    query = select(workspaces.scalar_subquery(), notes.scalar_subquery())
    async with ctx.read() as tx:
        return Left(*(await tx.execute(query)).one())


async def settle(ctx: Context) -> int:
    """Ends the re-indexing of the workspaces that have no such note left; returns their number."""
    ended = update(Workspace).where(col(Workspace.reindex_since).is_not(None), ~exists().where(*BEFORE))
    async with ctx.transaction() as tx:
        return (await tx.execute(ended.values(reindex_since=None))).rowcount


def _of(workspace_id: UUID | None) -> tuple[ColumnElement[bool], ...]:
    return () if workspace_id is None else (col(Workspace.id) == workspace_id,)
