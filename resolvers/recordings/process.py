"""Processing recordings in a worker: one stage at a time, each ended by a commit from which the next one starts.

An interrupted stage is done again from its beginning, by the worker that claims it once its lease has run out. If
two workers did the same stage, the first commit counts: the other finds the recording in another state.
"""

from sqlalchemy import ColumnElement, and_, or_, select, true
from sqlmodel import col

from models import Note, Recording
from models.base import Record
from models.recording import RecordingState
from resolvers.core.context import Context
from resolvers.core.ports.ai import has_generative_model
from resolvers.core.ports.audio import AudioRefused
from resolvers.recordings.queue import RECORDINGS
from resolvers.recordings.stages import give_up
from resolvers.recordings.summarize import summarize
from resolvers.recordings.transcribe import transcribe

STAGES = {RecordingState.TRANSCRIBING: transcribe, RecordingState.SUMMARIZING: summarize}
FAILURE_REASONS = {
    RecordingState.TRANSCRIBING: "The transcriber was not available.",
    RecordingState.SUMMARIZING: "The summary could not be written.",
}


async def claim(ctx: Context) -> Record | None:
    """Claims the oldest recording that is due, None if there is none."""
    due = (
        select(col(Recording.id))
        .join(Note, col(Note.id) == col(Recording.note_id))
        .where(_is_ready(ctx), RECORDINGS.is_free())
        .order_by(col(Recording.created_at))
    )
    jobs = await RECORDINGS.claim(ctx, due, 1, [Recording])
    return jobs[0] if jobs else None


def _is_ready(ctx: Context) -> ColumnElement[bool]:
    # A model that writes translates the transcript first: the summary is written after that.
    is_translated = col(Note.translate_after).is_(None) if has_generative_model(ctx.models) else true()
    is_ready = and_(col(Recording.state) == RecordingState.SUMMARIZING, is_translated)
    # A worker without a transcriber leaves the audio to others.
    if ctx.audio.transcriber is not None:
        is_ready = or_(col(Recording.state) == RecordingState.TRANSCRIBING, is_ready)
    return is_ready


async def work(ctx: Context, job: Record) -> None:
    """Does the stage of a claimed recording. A failure postpones it or, after the last attempt, gives it up."""
    in_stage = col(Recording.state) == job.state
    try:
        async with RECORDINGS.renewing(ctx, job, in_stage):
            await STAGES[job.state](ctx, job)
    except AudioRefused as error:
        await give_up(ctx, job, str(error))
    except Exception as error:  # noqa: BLE001 (`postpone` reports it)
        if not await RECORDINGS.postpone(ctx, job, error, in_stage):
            await give_up(ctx, job, FAILURE_REASONS[job.state])
