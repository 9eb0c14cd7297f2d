"""The embedders that made vectors which still exist.

The current one is the embedder of the worker that started last. Only processes with this embedder index the notes of
the others again: otherwise two servers with different settings would index the same notes for ever, in turns.
"""

from datetime import UTC, datetime

from sqlalchemy import delete as remove
from sqlalchemy import exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from models import Note, VectorSpace
from resolvers.core.context import Context
from resolvers.core.database import Transaction

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""The `since` of an embedder that no worker has registered: it never becomes the current one."""


async def current_embedder(tx: Transaction) -> str | None:
    """The identity of the embedder that all notes are indexed with in the end."""
    order = (col(VectorSpace.since).desc(), col(VectorSpace.identity))
    return (await tx.execute(select(col(VectorSpace.identity)).order_by(*order).limit(1))).scalar_one_or_none()


async def register_embedder(ctx: Context) -> None:
    """Makes this process's embedder the current one. Every worker calls it when it starts."""
    identity = ctx.embedder.identity
    async with ctx.transaction() as tx:
        if await current_embedder(tx) != identity:
            since = {"since": func.clock_timestamp()}
            row = insert(VectorSpace).values(identity=identity, **since)
            await tx.execute(row.on_conflict_do_update(index_elements=["identity"], set_=since))


async def lock_embedder(tx: Transaction, identity: str) -> None:
    """Keeps the row of an embedder until the commit, and adds it if there is none: search reads from it which vectors
    there are."""
    row = select(col(VectorSpace.identity)).where(col(VectorSpace.identity) == identity)
    locked = row.with_for_update(read=True, key_share=True)
    if (await tx.execute(locked)).first() is None:
        await tx.execute(insert(VectorSpace).values(identity=identity, since=NEVER).on_conflict_do_nothing())
        await tx.execute(locked)


async def delete_unused_embedders(ctx: Context) -> int:
    """Deletes the rows of embedders that made no vector which still exists. Returns how many it deleted."""
    # The condition is repeated in each statement: a worker may register its embedder between two of them.
    is_older = col(VectorSpace.since) < select(func.max(col(VectorSpace.since))).scalar_subquery()
    async with ctx.transaction() as tx:
        older = select(col(VectorSpace.identity)).where(is_older)
        # Rows that another transaction has locked are left for later; the locked ones here get no new notes meanwhile.
        locked = (await tx.execute(older.with_for_update(skip_locked=True))).scalars().all()
        is_used = exists().where(col(Note.embedder) == col(VectorSpace.identity), col(Note.chunk_count) > 0)
        unused = remove(VectorSpace).where(col(VectorSpace.identity).in_(locked), is_older, ~is_used)
        return (await tx.execute(unused)).rowcount if locked else 0
