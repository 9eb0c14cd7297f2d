"""Reads the texts of a note and splits them into chunks."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from models import Note, TranscriptSegment
from models.base import Record
from models.search import TextSource
from resolvers.core.context import Context
from resolvers.search.chunks import Chunk, SourceText, TranscriptTurn, split_into_chunks

INDEXED_TEXTS = {
    TextSource.USER_WRITTEN_NOTE: col(Note.user_written_note),
    TextSource.SUMMARY: col(Note.summary),
    TextSource.ENHANCED_NOTE: col(Note.enhanced_note),
    TextSource.CONTENT_TEXT: col(Note.content_text),
}


async def read_chunks(ctx: Context, job: Record) -> list[Chunk]:
    """The chunks of the job's own `index_content`, or else of the note's texts. Empty if the note was deleted."""
    content = job.index_content
    if content is None:
        title, texts, turns = await _read_texts(ctx, job.id)
    else:
        title, texts, turns = "", [SourceText(TextSource.CONTENT, content)], []
    size, overlap = ctx.limits.chunk_size, ctx.limits.chunk_overlap
    return await asyncio.to_thread(split_into_chunks, title, texts, turns, size, overlap)


async def _read_texts(ctx: Context, note_id: UUID) -> tuple[str, Sequence[SourceText], Sequence[TranscriptTurn]]:
    query = select(col(Note.title), *INDEXED_TEXTS.values()).where(col(Note.id) == note_id)
    segments = (
        select(col(TranscriptSegment.speaker), col(TranscriptSegment.text))
        .where(col(TranscriptSegment.note_id) == note_id)
        .order_by(col(TranscriptSegment.position))
    )
    async with ctx.read() as tx:
        row = (await tx.execute(query)).one_or_none()
        turns = (await tx.execute(segments)).all() if row else []
    if row is None:
        return "", [], []
    texts = [SourceText(source, text) for source, text in zip(INDEXED_TEXTS, row[1:], strict=True)]
    return row.title, texts, [TranscriptTurn(turn.speaker, turn.text) for turn in turns]
