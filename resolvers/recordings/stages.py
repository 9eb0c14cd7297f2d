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
from resolvers.notes.read import columns
from resolvers.notes.write import advance


async def still(tx: Transaction, job: Record) -> Record | None:
    """The recording's note, held, as long as the recording is in the state that it was taken up in.

    The note is locked first, as by whoever changes or deletes it.
    """
    note = (
        await tx.execute(select(*columns(None)).where(col(Note.id) == job.note_id).with_for_update(of=Note))
    ).one_or_none()
    state = select(col(Recording.state)).where(col(Recording.id) == job.id).with_for_update()
    return note if (await tx.execute(state)).scalar_one_or_none() is job.state else None


async def end_stage(tx: Transaction, job: Record, state: RecordingState, note: dict[str, Any], **more: Any) -> None:
    """Brings the recording into its next state and the note along, with what is to be told of it. Call it last."""
    written = {"state": state, "work_after": None, "failures": 0, "updated_at": func.now(), **more}
    await tx.execute(update(Recording).where(col(Recording.id) == job.id).values(written))
    new_words = state is not RecordingState.FAILED
    row = await advance(tx, job.note_id, note, reindex=new_words, retranslate=state is RecordingState.SUMMARIZING)
    await tell(tx, row, EventType.NOTE_UPDATED)
    if row.status is NoteStatus.COMPLETED:
        await tell(tx, row, EventType.NOTE_COMPLETED)


async def give_up(ctx: Context, job: Record, reason: str) -> None:
    """Ends a recording whose stage can't be done. What there is of a transcript stays."""
    transcribed = job.state is RecordingState.SUMMARIZING
    async with ctx.transaction() as tx:
        if await still(tx, job) is None:
            return
        spoken = select(exists().where(col(TranscriptSegment.note_id) == job.note_id))
        kept = bool((await tx.execute(spoken)).scalar_one())
        status = NoteStatus.RECORDED_NOT_SUMMARIZED if kept else NoteStatus.IDLE
        state = RecordingState.DONE if transcribed else RecordingState.FAILED
        await end_stage(tx, job, state, {"status": status}, error=reason)


async def tell(tx: Transaction, note: Record, kind: EventType) -> None:
    """Publishes what nobody in particular did."""
    await publish(tx, None, kind, workspace_id=note.workspace_id, note_id=note.id, audience=describe_audience(note))
