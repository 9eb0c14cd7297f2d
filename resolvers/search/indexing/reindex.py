"""Indexes whole workspaces again."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlmodel import col

from models import Note, Workspace
from resolvers.core.context import Context

IN_WORKSPACE = col(Note.workspace_id) == col(Workspace.id)
IS_OUTDATED = col(Note.indexed_at) < col(Workspace.reindex_since)


@dataclass(frozen=True, slots=True)
class ReindexProgress:
    """The number of `workspaces` that are being re-indexed, and of their `notes` that are still to be indexed."""

    workspaces: int
    notes: int


async def reindex(ctx: Context, workspace_id: UUID | None) -> int:
    """Makes the notes of a workspace, or of all, outdated. Returns the number of workspaces where this begins.

    A workspace that is being re-indexed already goes on where it is.
    """
    started = update(Workspace).where(col(Workspace.reindex_since).is_(None), *_only(workspace_id))
    async with ctx.transaction() as tx:
        return (await tx.execute(started.values(reindex_since=func.now()))).rowcount


async def reindex_progress(ctx: Context, workspace_id: UUID | None) -> ReindexProgress:
    """How much is left to re-index, of a workspace or of all."""
    active = (col(Workspace.reindex_since).is_not(None), *_only(workspace_id))
    notes = select(func.count()).select_from(Note).join(Workspace, IN_WORKSPACE).where(IS_OUTDATED, *active)
    workspaces = select(func.count()).select_from(Workspace).where(*active)
    query = select(workspaces.scalar_subquery(), notes.scalar_subquery())
    async with ctx.read() as tx:
        return ReindexProgress(*(await tx.execute(query)).one())


async def finish_reindexing(ctx: Context) -> int:
    """Ends the re-indexing of workspaces that have no outdated note left. Returns how many workspaces ended."""
    is_unfinished = exists().where(IN_WORKSPACE, IS_OUTDATED)
    finished = update(Workspace).where(col(Workspace.reindex_since).is_not(None), ~is_unfinished)
    async with ctx.transaction() as tx:
        return (await tx.execute(finished.values(reindex_since=None))).rowcount


def _only(workspace_id: UUID | None) -> tuple[ColumnElement[bool], ...]:
    return () if workspace_id is None else (col(Workspace.id) == workspace_id,)
