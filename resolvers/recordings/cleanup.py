"""Chores of the store: what nobody made a note of, and what belongs to no recording any more."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlmodel import col

from models import Recording
from models.base import as_id
from resolvers.core.context import Context
from resolvers.core.ports.audio import StoredAudio
from resolvers.recordings.create import UNUSED
from resolvers.recordings.upload_urls import name_of

UNUSED_KEPT = timedelta(hours=1)
"""How long after its upload address was given out audio waits to be made a note of."""
AT_A_TIME = 100


async def delete_unused_audio(ctx: Context) -> int:
    """Removes the recordings that nobody made a note of in time, with their bytes. Returns how many it removed."""
    old = (
        select(col(Recording.id))
        .where(col(Recording.state).in_(UNUSED), col(Recording.created_at) < func.now() - UNUSED_KEPT)
        .limit(AT_A_TIME)
        .with_for_update(skip_locked=True)
    )
    gone = delete(Recording).where(col(Recording.id).in_(old)).returning(*Recording.__table__.columns)  # type: ignore[attr-defined]  # set on table classes
    async with ctx.transaction() as tx:
        removed = (await tx.execute(gone)).all()
    # Should this not come to be done, the bytes belong to no recording any more.
    await ctx.audio.store.delete([name_of(recording) for recording in removed])
    return len(removed)


async def delete_orphaned_audio(ctx: Context) -> int:
    """Removes the audio of recordings that are gone, with their note most often, and what broken-off uploads left.

    Looks through the whole store. Returns 0: there is nothing to be done again at once.
    """
    await ctx.audio.store.delete_partial_uploads()
    async for batch in ctx.audio.store.list_all():
        await ctx.audio.store.delete(await _orphans(ctx, batch))
    return 0


async def _orphans(ctx: Context, batch: Sequence[StoredAudio]) -> list[str]:
    """The names among these that are the form of a recording's, of one that is not there."""
    ids = {stored.name: as_id(stored.name.rpartition("/")[2].partition(".")[0]) for stored in batch}
    known = select(col(Recording.id)).where(col(Recording.id).in_([one for one in ids.values() if one]))
    async with ctx.read() as tx:
        there = set((await tx.execute(known)).scalars())
    return [name for name, ident in ids.items() if ident is not None and ident not in there]
