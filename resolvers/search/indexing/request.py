"""Indexing that somebody asks for and waits for."""

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
from resolvers.search.indexing.replace import New, replace


async def index(ctx: Context, note_id: UUID, content: str | None = None) -> Indexed:
    """Indexes a note now: the given text, or its own. Of simultaneous calls the one accepted last stays.

    Raises UNAVAILABLE while the embedder is away; the text is kept and is indexed when it returns.
    """
    if content is not None:
        _check(content)
    async with ctx.transaction() as tx:
        await access.require_note(tx, ctx.viewer, note_id, Right.EDIT, lock=True)
        job = await _accept(tx, note_id, content)
    try:
        done = await work(ctx, job)
    except EmbedderUnavailable as error:
        wait = None if error.retry_after is None else int(error.retry_after) + 1
        raise Problem(ErrorCode.UNAVAILABLE, "The embedding provider is unavailable.", retry_after=wait) from error
    except EmbedderMisconfigured as error:
        raise Problem(ErrorCode.UNAVAILABLE, "The embedding provider refuses to work as it is configured.") from error
    async with ctx.read() as tx:
        # Embedding takes its time: by now the note may be gone, or out of the viewer's reach.
        await access.require_note(tx, ctx.viewer, note_id, Right.READ)
    return done


def _check(content: str) -> None:
    if len(content) > MAX_TEXT:
        raise bad_input("content", f"`content` has at most {MAX_TEXT} characters.")
    try:
        storable(content)
    except ValueError as error:
        raise bad_input("content", f"`content` {error}.") from None


async def forget(ctx: Context, note_id: UUID) -> None:
    """Removes a note's chunks until it is indexed again. Nothing stored is no error."""
    async with ctx.transaction() as tx:
        await access.require_note(tx, ctx.viewer, note_id, Right.EDIT, lock=True)
        job = await _accept(tx, note_id, "")
        await replace(tx, job, New(ctx.embedder.identity))


async def _accept(tx: Transaction, note_id: UUID, content: str | None) -> Record:
    ticket = {
        "index_wanted": col(Note.index_wanted) + 1,
        "index_content": content,
        "index_after": QUEUE.lease_end(),
        "index_failures": 0,
    }
    taken = update(Note).where(col(Note.id) == note_id).values(ticket).returning(*JOB)
    return (await tx.execute(taken)).one()
