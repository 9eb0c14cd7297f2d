"""Indexing on request: the caller waits for the result."""

from uuid import UUID

from sqlalchemy import update
from sqlmodel import col

from models import Note
from models.base import MAX_TEXT, Record, storable
from resolvers.auth import access
from resolvers.auth.access import Right
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, bad_input
from resolvers.core.ports.ai import EmbedderMisconfigured, EmbedderUnavailable
from resolvers.search.indexing.index_note import Indexed, work
from resolvers.search.indexing.queue import JOB, QUEUE
from resolvers.search.indexing.replace import NewChunks, replace_chunks


async def index(ctx: Context, note_id: UUID, content: str | None = None) -> Indexed:
    """Indexes `content` for a note, or else the note's own texts. Of simultaneous calls the last accepted one wins.

    Raises UNAVAILABLE if the embedder is not available; the text is stored, and indexed when the embedder is back.
    """
    if content is not None:
        _check_content(content)
    async with ctx.transaction() as tx:
        await access.require_note(tx, ctx.viewer, note_id, Right.EDIT, lock=True)
        job = await _accept_text(tx, note_id, content)
    try:
        indexed = await work(ctx, job)
    except EmbedderUnavailable as error:
        wait = None if error.retry_after is None else int(error.retry_after) + 1
        raise Problem(ErrorCode.UNAVAILABLE, "The embedding provider is unavailable.", retry_after=wait) from error
    except EmbedderMisconfigured as error:
        raise Problem(ErrorCode.UNAVAILABLE, "The embedding provider rejects its configuration.") from error
    async with ctx.read() as tx:
        # Embedding takes time: by now the note may be deleted, or the viewer may no longer read it.
        await access.require_note(tx, ctx.viewer, note_id, Right.READ)
    return indexed


def _check_content(content: str) -> None:
    if len(content) > MAX_TEXT:
        raise bad_input("content", f"`content` has at most {MAX_TEXT} characters.")
    try:
        storable(content)
    except ValueError as error:
        raise bad_input("content", f"`content` {error}.") from None


async def delete_chunks(ctx: Context, note_id: UUID) -> None:
    """Deletes a note's chunks, if there are any. The note is not found by search until it is indexed again."""
    async with ctx.transaction() as tx:
        await access.require_note(tx, ctx.viewer, note_id, Right.EDIT, lock=True)
        job = await _accept_text(tx, note_id, "")
        await replace_chunks(tx, job, NewChunks(ctx.embedder.identity))


async def _accept_text(tx: Transaction, note_id: UUID, content: str | None) -> Record:
    """Gives the text the note's next number, and claims the note for this process. Returns the job."""
    accepted = {
        "index_wanted": col(Note.index_wanted) + 1,
        "index_content": content,
        "index_after": QUEUE.lease_end(),
        "index_failures": 0,
    }
    claimed = update(Note).where(col(Note.id) == note_id).values(accepted).returning(*JOB)
    return (await tx.execute(claimed)).one()
