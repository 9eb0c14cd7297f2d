"""The embedders whose vectors are there. Only processes of the newest one move notes from the others: two servers of
different settings would move them to and fro for ever."""

from datetime import UTC, datetime

from sqlalchemy import delete as remove
from sqlalchemy import exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from models import Note, VectorSpace
from resolvers.core.context import Context
from resolvers.core.database import Transaction

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Since when an embedder is the one to use that no worker has: it is known for its vectors only."""


async def newest(tx: Transaction) -> str | None:
    """The identity of the embedder that all notes are moved to."""
    order = (col(VectorSpace.since).desc(), col(VectorSpace.identity))
    return (await tx.execute(select(col(VectorSpace.identity)).order_by(*order).limit(1))).scalar_one_or_none()


async def register(ctx: Context) -> None:
    """Makes this process's embedder the one that all notes are moved to. Every worker that starts calls it."""
    identity = ctx.embedder.identity
    async with ctx.transaction() as tx:
        if await newest(tx) != identity:
            now = {"since": func.clock_timestamp()}
            mine = insert(VectorSpace).values(identity=identity, **now)
            await tx.execute(mine.on_conflict_do_update(index_elements=["identity"], set_=now))


async def hold(tx: Transaction, identity: str) -> None:
    """Keeps the row of an embedder until the commit, and makes it where there is none: search knows by it that there
    are such vectors."""
    held = select(col(VectorSpace.identity)).where(col(VectorSpace.identity) == identity)
    held = held.with_for_update(read=True, key_share=True)
    if (await tx.execute(held)).first() is None:
        await tx.execute(insert(VectorSpace).values(identity=identity, since=NEVER).on_conflict_do_nothing())
        await tx.execute(held)


async def tidy(ctx: Context) -> int:
    """Forgets the embedders that no note needs any more; returns their number."""
    # Said in each statement: a worker may register its embedder between two of them.
    older = col(VectorSpace.since) < select(func.max(col(VectorSpace.since))).scalar_subquery()
    async with ctx.transaction() as tx:
        others = select(col(VectorSpace.identity)).where(older)
        # Rows that somebody holds are left for later; those we hold get no new notes while we look.
        unheld = (await tx.execute(others.with_for_update(skip_locked=True))).scalars().all()
        used = exists().where(col(Note.embedder) == col(VectorSpace.identity), col(Note.chunk_count) > 0)
        unused = remove(VectorSpace).where(col(VectorSpace.identity).in_(unheld), older, ~used)
        return (await tx.execute(unused)).rowcount if unheld else 0
