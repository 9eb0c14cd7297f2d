"""Claims notes whose chunks are outdated although their text has not changed: another embedder made them, or a
workspace is re-indexed."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, literal, select, tuple_, union_all, update
from sqlmodel import col

from models import Note, Workspace
from models.base import Record
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.search.indexing.embedding_spaces import current_embedder
from resolvers.search.indexing.queue import COLUMNS, QUEUE, waiting


async def claim_outdated(ctx: Context, limit: int, workspace_id: UUID | None = None) -> Sequence[Record]:
    """Claims up to `limit` outdated notes; with `workspace_id` only notes of this workspace, if it is re-indexed.

    Claims none while a note waits with a new text, and none for a process whose embedder is not the current one.
    `index_wanted` of each is incremented, so a note whose worker died is claimed again by the normal queue.
    """
    identity = ctx.embedder.identity
    reindexed = _notes_to_reindex(limit)
    if workspace_id is None:
        parts = [*_notes_of_other_embedders(limit, identity), reindexed]
    else:
        parts = [reindexed.where(col(Note.workspace_id) == workspace_id)]
    columns = (*COLUMNS, literal(True).label("outdated"))
    async with ctx.transaction() as tx:
        if await current_embedder(tx) != identity or await _is_text_waiting(tx):
            return []
        return await QUEUE.claim_in(tx, _any_of(parts, limit), columns, index_wanted=col(Note.index_wanted) + 1)


async def release_outdated(ctx: Context, jobs: Sequence[Record]) -> None:
    """Releases claimed jobs, so that no worker has to wait for the end of their leases."""
    claimed = tuple_(col(Note.id), col(Note.index_wanted)).in_([(job.id, job.index_wanted) for job in jobs])
    async with ctx.transaction() as tx:
        await tx.execute(update(Note).where(claimed).values(index_done=col(Note.index_wanted), index_after=None))


async def _is_text_waiting(tx: Transaction) -> bool:
    return bool((await tx.execute(select(exists().where(*waiting())))).scalar_one())


def _notes_of_other_embedders(limit: int, identity: str) -> Iterator[Select[Any]]:
    """One query for each range of the index: if all notes have one embedder, each query finds that at once."""
    embedder = col(Note.embedder)
    for condition in (embedder < identity, embedder > identity, embedder.is_(None)):
        yield _idle_notes(limit).where(col(Note.chunk_count) > 0, condition).order_by(embedder, col(Note.id))


def _notes_to_reindex(limit: int) -> Select[Any]:
    return (
        _idle_notes(limit)
        .join(Workspace, col(Workspace.id) == col(Note.workspace_id))
        .where(col(Workspace.reindex_since).is_not(None), col(Note.indexed_at) < col(Workspace.reindex_since))
        .order_by(col(Note.workspace_id), col(Note.indexed_at))
    )


def _idle_notes(limit: int) -> Select[Any]:
    return select(col(Note.id)).where(col(Note.index_done) >= col(Note.index_wanted), QUEUE.is_free()).limit(limit)


def _any_of(parts: Sequence[Select[Any]], limit: int) -> Select[Any]:
    locked = (part.with_for_update(skip_locked=True, of=Note).subquery() for part in parts)
    union = union_all(*(select(rows.c.id) for rows in locked)).subquery("outdated")
    return select(union.c.id).limit(limit)
