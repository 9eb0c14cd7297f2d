"""What of a note is indexed: its texts, cut into chunks."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from models import Note, TranscriptSegment
from models.base import Record
from models.search import Source
from resolvers.core.context import Context
from resolvers.search.chunks import Chunk, Text, Turn, chunked

TEXTS = {
    Source.USER_WRITTEN_NOTE: col(Note.user_written_note),
    Source.SUMMARY: col(Note.summary),
    Source.ENHANCED_NOTE: col(Note.enhanced_note),
    Source.CONTENT_TEXT: col(Note.content_text),
}


async def chunks_of(ctx: Context, job: Record) -> list[Chunk]:
    """The chunks of the text that was handed in, or of the note's own texts; none of a note that is gone."""
    given = job.index_content
    whole = await _own(ctx, job.id) if given is None else ("", [Text(Source.CONTENT, given)], [])
    return await asyncio.to_thread(chunked, *whole, ctx.limits.chunk_size, ctx.limits.chunk_overlap)


async def _own(ctx: Context, note_id: UUID) -> tuple[str, Sequence[Text], Sequence[Turn]]:
    query = select(col(Note.title), *TEXTS.values()).where(col(Note.id) == note_id)
    spoken = (
        select(col(TranscriptSegment.speaker), col(TranscriptSegment.text))
        .where(col(TranscriptSegment.note_id) == note_id)
        .order_by(col(TranscriptSegment.position))
    )
    async with ctx.read() as tx:
        row = (await tx.execute(query)).one_or_none()
        turns = (await tx.execute(spoken)).all() if row else []
    if row is None:
        return "", [], []
    texts = [Text(source, text) for source, text in zip(TEXTS, row[1:], strict=True)]
    return row.title, texts, [Turn(turn.speaker, turn.text) for turn in turns]
