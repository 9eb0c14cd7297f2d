"""Keeps the chunks of every note's text up to date.

Every accepted text takes a ticket; embedding happens outside any transaction; then all chunks of the note are
replaced at once, unless a later ticket was faster. A note whose `index_done` is behind its `index_wanted` is work to
do, whatever happened to the process that had begun it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import case, func, insert, null, or_, select, update
from sqlalchemy import delete as remove
from sqlmodel import col

from models import DocumentEmbedding, EventType, Note, TranscriptSegment
from models.base import MAX_TEXT, Record, storable
from resolvers import access
from resolvers.access import Right
from resolvers.chunks import chunked
from resolvers.context import Context, Transaction
from resolvers.errors import Code, Problem, bad_input
from resolvers.events import audience, publish
from resolvers.intelligence import EmbedderMisconfigured, EmbedderUnavailable

log = structlog.get_logger()

LEASE = timedelta(seconds=120)
"""For how long nobody else takes up a note that is being indexed."""
LONGEST_WAIT = timedelta(minutes=10)

ASSIGNED = (
    col(Note.id),
    col(Note.workspace_id),
    col(Note.index_wanted),
    col(Note.index_content),
    col(Note.index_failures),
)


@dataclass(frozen=True, slots=True)
class Indexed:
    note_id: UUID
    chunks_indexed: int
    chunks_embedded: int


async def index(ctx: Context, note_id: UUID, content: str | None = None) -> Indexed:
    """Indexes a note now: the given text, or its own. Of simultaneous calls the one accepted last stays.

    Raises UNAVAILABLE while the embedder is away; the text is kept and is indexed when it returns.
    """
    if content is not None:
        _check(content)
    async with ctx.transaction() as tx:
        await access.note(tx, ctx.me, note_id, Right.EDIT, lock=True)
        job = await _accept(tx, note_id, content)
    try:
        done = await work(ctx, job)
    except EmbedderUnavailable as error:
        wait = None if error.retry_after is None else int(error.retry_after) + 1
        raise Problem(Code.UNAVAILABLE, "The embedding provider is unavailable.", retry_after=wait) from error
    except EmbedderMisconfigured as error:
        raise Problem(Code.UNAVAILABLE, "The embedding provider refuses to work as it is configured.") from error
    async with ctx.read() as tx:
        # Embedding takes its time: by now the note may be gone, or out of the viewer's reach.
        await access.note(tx, ctx.me, note_id, Right.READ)
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
        await access.note(tx, ctx.me, note_id, Right.EDIT, lock=True)
        job = await _accept(tx, note_id, "")
        await _replace(tx, job, [], [])


async def _accept(tx: Transaction, note_id: UUID, content: str | None) -> Record:
    ticket = {
        "index_wanted": col(Note.index_wanted) + 1,
        "index_content": content,
        "index_after": func.now() + LEASE,
        "index_failures": 0,
    }
    taken = update(Note).where(col(Note.id) == note_id).values(ticket).returning(*ASSIGNED)
    return (await tx.execute(taken)).one()


async def claim(ctx: Context, limit: int) -> Sequence[Record]:
    """Takes up to `limit` notes that wait to be indexed, for the length of a lease."""
    waiting = (
        select(col(Note.id))
        .where(
            col(Note.index_done) < col(Note.index_wanted),
            or_(col(Note.index_after).is_(None), col(Note.index_after) < func.now()),
        )
        .order_by(col(Note.updated_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = update(Note).where(col(Note.id).in_(waiting)).values(index_after=func.now() + LEASE).returning(*ASSIGNED)
    async with ctx.transaction() as tx:
        return (await tx.execute(taken)).all()


async def work(ctx: Context, job: Record) -> Indexed:
    """Indexes a note that was accepted or claimed. A failure puts it off, ever longer, and is raised."""
    try:
        text = job.index_content if job.index_content is not None else await _own_text(ctx, job.id)
        chunks = await asyncio.to_thread(chunked, text, ctx.limits.chunk_size, ctx.limits.chunk_overlap)
        vectors = await ctx.embedder.embed_passages(chunks) if chunks else []
    except Exception as error:
        await _put_off(ctx, job, error)
        raise
    async with ctx.transaction() as tx:
        await _replace(tx, job, chunks, vectors)
    return Indexed(job.id, len(chunks), len(chunks))


async def _put_off(ctx: Context, job: Record, error: Exception) -> None:
    wait = min(timedelta(seconds=2.0 ** min(job.index_failures, 20)), LONGEST_WAIT)
    if isinstance(error, EmbedderUnavailable) and error.retry_after is not None:
        wait = max(wait, timedelta(seconds=error.retry_after))
    async with ctx.transaction() as tx:
        still = (col(Note.id) == job.id, col(Note.index_wanted) == job.index_wanted)
        later = {"index_after": func.now() + wait, "index_failures": job.index_failures + 1}
        await tx.execute(update(Note).where(*still).values(later))
    log.warning("indexing.put_off", note_id=str(job.id), seconds=wait.total_seconds(), error=str(error))


async def _own_text(ctx: Context, note_id: UUID) -> str:
    parts = [Note.title, Note.user_written_note, Note.summary, Note.enhanced_note, Note.content_text]
    spoken = (
        select(col(TranscriptSegment.speaker), col(TranscriptSegment.text))
        .where(col(TranscriptSegment.note_id) == note_id)
        .order_by(col(TranscriptSegment.position))
    )
    async with ctx.read() as tx:
        row = (await tx.execute(select(*(col(part) for part in parts)).where(col(Note.id) == note_id))).one_or_none()
        turns = (await tx.execute(spoken)).all() if row else []
    transcript = "\n".join(f"{turn.speaker}: {turn.text}" for turn in turns)
    return "\n\n".join(part for part in (*(row or ()), transcript) if part.strip())


async def _replace(tx: Transaction, job: Record, chunks: Sequence[str], vectors: Sequence[object]) -> None:
    """All the old chunks go and all the new ones come in one commit, if nothing newer has come before."""
    done = {
        "index_done": job.index_wanted,
        "indexed_at": func.now(),
        "chunk_count": len(chunks),
        "index_failures": 0,
        # A newer ticket's lease is its own.
        "index_after": case((col(Note.index_wanted) == job.index_wanted, null()), else_=col(Note.index_after)),
    }
    mine = (col(Note.id) == job.id, col(Note.index_done) < job.index_wanted)
    shown = (col(Note.visibility), col(Note.created_by_id))
    note = (await tx.execute(update(Note).where(*mine).values(done).returning(*shown))).one_or_none()
    if note is None:
        return
    await tx.execute(remove(DocumentEmbedding).where(col(DocumentEmbedding.document_id) == job.id))
    if chunks:
        place = {"document_id": job.id, "workspace_id": job.workspace_id}
        rows = [
            {**place, "chunk_index": i, "chunk_text": chunk, "embedding": vector}
            for i, (chunk, vector) in enumerate(zip(chunks, vectors, strict=True))
        ]
        await tx.execute(insert(DocumentEmbedding), rows)
    await publish(
        tx, None, EventType.NOTE_INDEXED, workspace_id=job.workspace_id, note_id=job.id, audience=audience(note)
    )
