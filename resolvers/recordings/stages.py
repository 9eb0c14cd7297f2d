"""What the stages of a recording share: how each of them ends."""

from typing import Any

from sqlalchemy import exists, func, select, update
from sqlmodel import col

from models import EventType, Note, Recording, TranscriptSegment
from models.base import Record
from models.note import NoteStatus
from models.recording import RecordingState
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.events.audience import describe_audience
from resolvers.events.log import publish
from resolvers.notes.read import note_columns
from resolvers.notes.write import write_revision


async def lock_note(tx: Transaction, job: Record) -> Record | None:
    """Returns the recording's note, locked, or None if the recording is no longer in the state of the job.

    The note is locked before the recording, in the order of those who change or delete a note.
    """
    note_query = select(*note_columns(None)).where(col(Note.id) == job.note_id).with_for_update(of=Note)
    note = (await tx.execute(note_query)).one_or_none()
    state_query = select(col(Recording.state)).where(col(Recording.id) == job.id).with_for_update()
    return note if (await tx.execute(state_query)).scalar_one_or_none() is job.state else None


async def end_stage(
    tx: Transaction, job: Record, state: RecordingState, note_values: dict[str, Any], **recording_values: Any
) -> None:
    """Moves the recording to its next state, writes the note and publishes its events. Call it last."""
    values = {"state": state, "work_after": None, "failures": 0, "updated_at": func.now(), **recording_values}
    await tx.execute(update(Recording).where(col(Recording.id) == job.id).values(values))
    has_new_text = state is not RecordingState.FAILED
    has_new_segments = state is RecordingState.SUMMARIZING
    note = await write_revision(tx, job.note_id, note_values, reindex=has_new_text, retranslate=has_new_segments)
    await _publish(tx, note, EventType.NOTE_UPDATED)
    if note.status is NoteStatus.COMPLETED:
        await _publish(tx, note, EventType.NOTE_COMPLETED)


async def give_up(ctx: Context, job: Record, reason: str) -> None:
    """Ends a recording whose stage can't be done. The note's transcript stays."""
    is_transcribed = job.state is RecordingState.SUMMARIZING
    async with ctx.transaction() as tx:
        if await lock_note(tx, job) is None:
            return
        segments = select(exists().where(col(TranscriptSegment.note_id) == job.note_id))
        has_transcript = bool((await tx.execute(segments)).scalar_one())
        status = NoteStatus.RECORDED_NOT_SUMMARIZED if has_transcript else NoteStatus.IDLE
        state = RecordingState.DONE if is_transcribed else RecordingState.FAILED
        await end_stage(tx, job, state, {"status": status}, error=reason)


async def _publish(tx: Transaction, note: Record, kind: EventType) -> None:
    """Publishes an event that has no actor."""
    await publish(tx, None, kind, workspace_id=note.workspace_id, note_id=note.id, audience=describe_audience(note))
