"""The first stage of a recording: from audio to the segments of a transcript."""

import asyncio
from collections.abc import Iterator

from sqlalchemy import func, select
from sqlmodel import col

from models import TranscriptSegment
from models.base import Record, strip_unstorable
from models.note import MAX_LANGUAGE_CHARACTERS, NoteStatus
from models.recording import RecordingState
from models.transcript import MAX_SEGMENT_CHARACTERS, MAX_SEGMENTS, SegmentDraft
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.ports.audio import TranscriberUnavailable, Transcription
from resolvers.notes.write import insert_segments
from resolvers.recordings.stages import end_stage, lock_note
from resolvers.recordings.upload import max_bytes
from resolvers.recordings.upload_urls import storage_name

UNKNOWN_SPEAKER = "Speaker"
"""The speaker of a segment if the transcriber names none."""
MAX_SPEAKER_CHARACTERS = 500
MAX_TIMESTAMP_SECONDS = 9999 * 3600 + 3599
"""The last moment that HH:MM:SS with four digits of hours can express."""
TOO_MANY = f"The transcript was cut: a note has at most {MAX_SEGMENTS:,} segments."


async def transcribe(ctx: Context, job: Record) -> None:
    """Adds the segments of a recording to the note's transcript. Raises AudioRefused, TranscriberUnavailable."""
    transcription = await _transcribe(ctx, job)
    duration = _duration(transcription, job)
    async with ctx.transaction() as tx:
        note = await lock_note(tx, job)
        if note is None:
            return
        position, count = await _transcript_end(tx, job)
        # The segments of a later recording follow those of the earlier ones.
        offset = note.total_duration_sec if count else 0.0
        segments = await asyncio.to_thread(lambda: list(to_segments(transcription, offset)))
        remaining = MAX_SEGMENTS - count
        await insert_segments(tx, note, segments[:remaining], position)
        language = strip_unstorable(transcription.language or "")[:MAX_LANGUAGE_CHARACTERS]
        note_values = {
            "status": NoteStatus.SUMMARIZING,
            "total_duration_sec": min(offset + duration, MAX_TIMESTAMP_SECONDS),
            "input_language": note.input_language or language or None,
        }
        error = TOO_MANY if len(segments) > remaining else None
        await end_stage(tx, job, RecordingState.SUMMARIZING, note_values, error=error)


async def _transcribe(ctx: Context, job: Record) -> Transcription:
    if ctx.audio.transcriber is None:
        raise TranscriberUnavailable("no transcriber is configured")
    try:
        async with ctx.audio.store.open(storage_name(job), max_bytes(job.duration_sec)) as audio:
            return await ctx.audio.transcriber.transcribe(audio, job.content_type)
    except FileNotFoundError:
        # Another machine may have the audio, if the machines do not share one store as they must.
        raise TranscriberUnavailable("the audio is not in this process's store") from None


def _duration(transcription: Transcription, job: Record) -> float:
    """Returns the transcriber's duration in seconds if it is plausible, else the announced one."""
    duration = transcription.duration
    if duration and 0 < duration <= MAX_TIMESTAMP_SECONDS:
        return duration
    return float(job.duration_sec)


async def _transcript_end(tx: Transaction, job: Record) -> tuple[int, int]:
    """Returns the next position in the note's transcript, and how many segments it has."""
    query = select(func.max(col(TranscriptSegment.position)), func.count()).where(
        col(TranscriptSegment.note_id) == job.note_id
    )
    position, count = (await tx.execute(query)).one()
    return (0 if position is None else position + 1), count


def to_segments(transcription: Transcription, offset: float) -> Iterator[SegmentDraft]:
    """Yields the pieces as segments, `offset` seconds later. Empty pieces are left out, and long ones are split into
    segments with the same times."""
    for piece in transcription.pieces:
        speaker = strip_unstorable(piece.speaker or "").strip()[:MAX_SPEAKER_CHARACTERS] or UNKNOWN_SPEAKER
        start, end = timestamp(piece.start + offset), timestamp(max(piece.start, piece.end) + offset)
        for text in split(strip_unstorable(piece.text).strip()):
            yield SegmentDraft(speaker=speaker, text=text, start_timestamp=start, end_timestamp=end)


def split(text: str) -> Iterator[str]:
    """Yields a text in parts of at most MAX_SEGMENT_CHARACTERS, split at spaces if there are any."""
    while text:
        end = len(text) if len(text) <= MAX_SEGMENT_CHARACTERS else text.rfind(" ", 1, MAX_SEGMENT_CHARACTERS)
        end = end if end > 0 else MAX_SEGMENT_CHARACTERS
        yield text[:end].strip()
        text = text[end:].strip()


def timestamp(seconds: float) -> str:
    """Formats seconds as HH:MM:SS."""
    total = int(min(max(seconds, 0.0), MAX_TIMESTAMP_SECONDS))
    return f"{total // 3600:02}:{total // 60 % 60:02}:{total % 60:02}"
