"""Chores of the audio store: unused uploads, and audio whose recording was deleted."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlmodel import col

from models import Recording
from models.base import as_id
from models.limits import limit
from resolvers.core.context import Context
from resolvers.core.ports.audio import StoredAudio
from resolvers.recordings.create import UNUSED
from resolvers.recordings.upload_urls import storage_name

UNUSED_RETENTION_HOURS = limit(
    1, "Time that an upload waits for its note", area="Audio", unit="hours", beyond="the audio is deleted"
)
BATCH_SIZE = 100
"""Recordings that one transaction deletes."""


async def delete_unused_audio(ctx: Context) -> int:
    """Deletes the recordings from which no note was created in time, with their audio. Returns how many it deleted."""
    retention = timedelta(hours=UNUSED_RETENTION_HOURS)
    expired = (
        select(col(Recording.id))
        .where(col(Recording.state).in_(UNUSED), col(Recording.created_at) < func.now() - retention)
        .limit(BATCH_SIZE)
        .with_for_update(skip_locked=True)
    )
    deletion = delete(Recording).where(col(Recording.id).in_(expired)).returning(Recording)
    async with ctx.transaction() as tx:
        deleted = (await tx.execute(deletion)).all()
    # If this fails, the audio has no recording any more: `delete_orphaned_audio` deletes it.
    await ctx.audio.store.delete([storage_name(recording) for recording in deleted])
    return len(deleted)


async def delete_orphaned_audio(ctx: Context) -> int:
    """Deletes the audio of deleted recordings, most of them deleted with their note, and partial uploads.

    Reads the names of the whole store. Returns 0: the chore is not due again at once.
    """
    await ctx.audio.store.delete_partial_uploads()
    async for batch in ctx.audio.store.list_all():
        await ctx.audio.store.delete(await _orphans(ctx, batch))
    return 0


async def _orphans(ctx: Context, batch: Sequence[StoredAudio]) -> list[str]:
    """Returns the names that have the form of a recording's name and whose recording does not exist."""
    ids = {stored.name: as_id(stored.name.rpartition("/")[2].partition(".")[0]) for stored in batch}
    recordings = select(col(Recording.id)).where(col(Recording.id).in_([ident for ident in ids.values() if ident]))
    async with ctx.read() as tx:
        existing = set((await tx.execute(recordings)).scalars())
    return [name for name, ident in ids.items() if ident is not None and ident not in existing]
