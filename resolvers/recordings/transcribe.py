"""The first stage: from audio to the segments of a transcript."""

import asyncio
from collections.abc import Iterator

from sqlalchemy import func, select
from sqlmodel import col

from models import TranscriptSegment
from models.base import Record, mended
from models.note import MAX_LANGUAGE_CHARACTERS, NoteStatus
from models.recording import RecordingState
from models.transcript import MAX_SEGMENT_CHARACTERS, MAX_SEGMENTS, SegmentDraft
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.ports.audio import TranscriberUnavailable, Transcription
from resolvers.notes.write import add_segments
from resolvers.recordings.stages import end_stage, still
from resolvers.recordings.upload import most
from resolvers.recordings.upload_urls import name_of

NOBODY = "Speaker"
"""Who spoke, where the transcriber does not say."""
LONGEST_NAME = 500
LATEST = 9999 * 3600 + 3599
"""Seconds: the last moment that HH:MM:SS with four digits of hours can tell."""
TOO_MANY = f"The transcript was cut: a note has at most {MAX_SEGMENTS:,} segments."


async def transcribe(ctx: Context, job: Record) -> None:
    """Adds what was said to the note's transcript. Raises AudioRefused, TranscriberUnavailable."""
    said = await _heard(ctx, job)
    duration = said.duration if said.duration and 0 < said.duration <= LATEST else job.duration_sec
    async with ctx.transaction() as tx:
        note = await still(tx, job)
        if note is None:
            return
        position, count = await _place(tx, job)
        # What was said in a later recording comes after what was said in those before it.
        offset = note.total_duration_sec if count else 0.0
        segments = await asyncio.to_thread(lambda: list(drafts(said, offset)))
        room = MAX_SEGMENTS - count
        await add_segments(tx, note, segments[:room], position)
        told = {
            "status": NoteStatus.SUMMARIZING,
            "total_duration_sec": min(offset + duration, LATEST),
            "input_language": note.input_language or mended(said.language or "")[:MAX_LANGUAGE_CHARACTERS] or None,
        }
        error = TOO_MANY if len(segments) > room else None
        await end_stage(tx, job, RecordingState.SUMMARIZING, told, error=error)


async def _heard(ctx: Context, job: Record) -> Transcription:
    if ctx.audio.transcriber is None:
        raise TranscriberUnavailable("no transcriber is configured")
    try:
        async with ctx.audio.store.open(name_of(job), most(job.duration_sec)) as audio:
            return await ctx.audio.transcriber.transcribe(audio, job.content_type)
    except FileNotFoundError:
        # Another machine may have it, should they not share one store as they must.
        raise TranscriberUnavailable("the audio is not in this process's store") from None


async def _place(tx: Transaction, job: Record) -> tuple[int, int]:
    """The next position in the note's transcript, and how many segments it has."""
    last = select(func.max(col(TranscriptSegment.position)), func.count()).where(
        col(TranscriptSegment.note_id) == job.note_id
    )
    position, count = (await tx.execute(last)).one()
    return (0 if position is None else position + 1), count


def drafts(said: Transcription, offset: float) -> Iterator[SegmentDraft]:
    """The pieces as segments, `offset` seconds later: no empty ones, and long ones in parts with the same times."""
    for piece in said.pieces:
        speaker = mended(piece.speaker or "").strip()[:LONGEST_NAME] or NOBODY
        start, end = clock(piece.start + offset), clock(max(piece.start, piece.end) + offset)
        for text in parts(mended(piece.text).strip()):
            yield SegmentDraft(speaker=speaker, text=text, start_timestamp=start, end_timestamp=end)


def parts(text: str) -> Iterator[str]:
    """A text in parts of at most MAX_SEGMENT characters, cut at spaces where there are some."""
    while text:
        end = len(text) if len(text) <= MAX_SEGMENT_CHARACTERS else text.rfind(" ", 1, MAX_SEGMENT_CHARACTERS)
        end = end if end > 0 else MAX_SEGMENT_CHARACTERS
        yield text[:end].strip()
        text = text[end:].strip()


def clock(seconds: float) -> str:
    """HH:MM:SS."""
    whole = int(min(max(seconds, 0.0), LATEST))
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
