"""Notes whose chunks are to be made anew although their text is as it was."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, literal, select, tuple_, union_all, update
from sqlmodel import col

from models import Note, Workspace
from models.base import Record
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.search.indexing.embedding_spaces import newest
from resolvers.search.indexing.queue import COLUMNS, QUEUE, waiting


async def claim_outdated(ctx: Context, limit: int, only: UUID | None = None) -> Sequence[Record]:
    """Takes up to `limit` notes whose chunks another embedder made, or that are to be indexed anew, for the length of
    a lease; none while a new text waits, and none for a process whose embedder is not the newest. `only`: of those
    that are to be indexed anew, the notes of this workspace.

    Each takes a ticket, so that what a dead process had begun is picked up like any other work.
    """
    identity = ctx.embedder.identity
    again = _again(limit)
    parts = [*_of_others(limit, identity), again] if only is None else [again.where(col(Note.workspace_id) == only)]
    columns = (*COLUMNS, literal(True).label("outdated"))
    async with ctx.transaction() as tx:
        if await newest(tx) != identity or await _text_waits(tx):
            return []
        return await QUEUE.claim_in(tx, _any(parts, limit), columns, index_wanted=col(Note.index_wanted) + 1)


async def release(ctx: Context, jobs: Sequence[Record]) -> None:
    """Gives back outdated notes that were claimed, so that nobody has to wait for the end of their leases."""
    mine = tuple_(col(Note.id), col(Note.index_wanted)).in_([(job.id, job.index_wanted) for job in jobs])
    async with ctx.transaction() as tx:
        await tx.execute(update(Note).where(mine).values(index_done=col(Note.index_wanted), index_after=None))


async def _text_waits(tx: Transaction) -> bool:
    return bool((await tx.execute(select(exists().where(*waiting())))).scalar_one())


def _of_others(limit: int, identity: str) -> Iterator[Select[Any]]:
    """One part for each range of the index: where all notes are of one embedder each finds that at once."""
    embedder = col(Note.embedder)
    for condition in (embedder < identity, embedder > identity, embedder.is_(None)):
        yield _idle(limit).where(col(Note.chunk_count) > 0, condition).order_by(embedder, col(Note.id))


def _again(limit: int) -> Select[Any]:
    return (
        _idle(limit)
        .join(Workspace, col(Workspace.id) == col(Note.workspace_id))
        .where(col(Workspace.reindex_since).is_not(None), col(Note.indexed_at) < col(Workspace.reindex_since))
        .order_by(col(Note.workspace_id), col(Note.indexed_at))
    )


def _idle(limit: int) -> Select[Any]:
    return select(col(Note.id)).where(col(Note.index_done) >= col(Note.index_wanted), QUEUE.is_free()).limit(limit)


def _any(parts: Sequence[Select[Any]], limit: int) -> Select[Any]:
    locked = (part.with_for_update(skip_locked=True, of=Note).subquery() for part in parts)
    every = union_all(*(select(rows.c.id) for rows in locked)).subquery("outdated")
    return select(every.c.id).limit(limit)
