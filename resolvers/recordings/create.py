"""Creating a note from uploaded audio. The rest is work in the recording's row, which survives this process."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlmodel import col

from models import EventType, Note, Recording
from models.base import Record, as_id, new_id
from models.note import CalendarEventDraft, NoteKind, NoteStatus, NoteVisibility
from models.recording import FromAudioDraft, RecordingState
from resolvers.auth import access
from resolvers.auth.access import Right
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, not_found
from resolvers.core.idempotency import claim
from resolvers.events.audience import describe_audience
from resolvers.events.log import publish
from resolvers.notes.folders import check_folder, lock_folder
from resolvers.notes.read import note_columns
from resolvers.notes.write import write_revision
from resolvers.recordings.audio_format import SIGNATURE_BYTES, has_format
from resolvers.recordings.tags import add_tags
from resolvers.recordings.upload import max_bytes, too_large, wrong_format
from resolvers.recordings.upload_urls import require_recording, storage_name

FIELD = "audioUrl"
UNUSED = (RecordingState.AWAITED, RecordingState.UPLOADED)
IN_PROGRESS = (RecordingState.TRANSCRIBING, RecordingState.SUMMARIZING)


async def create_note_from_audio(ctx: Context, draft: FromAudioDraft, key: str | None = None) -> UUID:
    """Creates a note from audio, or adds the audio to a note; returns the note's id. With an idempotency key only once.

    Raises UNPROCESSABLE for audio that is not this workspace's or was not uploaded, and for an unknown tag or folder;
    CONFLICT for audio that was already used, or a note to which another recording is being added.
    """
    await require_recording(ctx)
    recording = await _find_recording(ctx, draft.audio_url)
    await _check_audio(ctx, recording)
    claim_id = new_id()
    async with ctx.transaction() as tx:
        if await claim(tx, ctx.viewer, key, claim_id, operation="createNoteFromAudio", draft=draft) != claim_id:
            return await _read_note_id(tx, recording)
        # The folder is locked before the note, in the order of those who delete a folder.
        folder = await lock_folder(tx, ctx.viewer, draft.folder_id)
        check_folder(draft.folder_id, folder, ctx.viewer.workspace_id)
        existing = None if draft.note_id is None else await _lock_existing_note(ctx, tx, draft.note_id)
        await _lock_unused(tx, recording)
        values = _note_values(draft, recording, existing)
        note = await (
            _insert(ctx, tx, values) if existing is None else write_revision(tx, existing.id, values, reindex=True)
        )
        await add_tags(tx, note, draft.tags)
        await _start(tx, recording, note)
        await _publish(ctx, tx, note, EventType.NOTE_CREATED if existing is None else EventType.NOTE_UPDATED)
        payload = {"noteId": str(note.id), "audioUrl": recording.audio_url}
        await _publish(ctx, tx, note, EventType.NOTE_AUDIO_UPLOADED, **payload)
    note_id: UUID = note.id
    return note_id


def default_title(moment: datetime) -> str:
    """Returns the title of a recording without a title. The summary gives it another one."""
    return f"Recording of {moment.astimezone(UTC):%Y-%m-%d %H:%M}"


async def _find_recording(ctx: Context, audio_url: str) -> Record:
    """Returns the workspace's recording with exactly this URL. No other URL is ever opened."""
    conditions = (
        col(Recording.id) == as_id(audio_url.rpartition("/")[2]),
        col(Recording.workspace_id) == ctx.viewer.workspace_id,
        col(Recording.audio_url) == audio_url,
    )
    async with ctx.read() as tx:
        row = (await tx.execute(select(Recording).where(*conditions))).one_or_none()
    if row is None:
        raise unprocessable("This audioUrl was not issued for this workspace.")
    return row


async def _check_audio(ctx: Context, recording: Record) -> None:
    """Raises UNPROCESSABLE if the audio is not in the store, or was put there directly and is not as announced."""
    name = storage_name(recording)
    stored = await ctx.audio.store.find(name)
    if stored is None:
        raise unprocessable("The audio has not been uploaded.")
    if recording.state is not RecordingState.AWAITED:
        return
    limit_bytes = max_bytes(recording.duration_sec)
    fits = stored.size <= limit_bytes
    # Stores refuse to read a part of an empty object.
    start = await ctx.audio.store.read_start(name, SIGNATURE_BYTES) if stored.size else b""
    if fits and has_format(recording.extension, start):
        return
    await ctx.audio.store.delete([name])
    raise unprocessable(wrong_format(recording.extension) if fits else too_large(limit_bytes).message)


def unprocessable(message: str, field: str = FIELD) -> Problem:
    return Problem(ErrorCode.UNPROCESSABLE, message, field)


async def _read_note_id(tx: Transaction, recording: Record) -> UUID:
    query = select(col(Recording.note_id)).where(col(Recording.id) == recording.id)
    note_id: UUID = (await tx.execute(query)).scalar_one()
    return note_id


async def _lock_existing_note(ctx: Context, tx: Transaction, note_id: UUID) -> Record:
    """Returns the workspace's note, locked. Raises CONFLICT if another recording is being added to it."""
    note = await access.require_note(tx, ctx.viewer, note_id, Right.EDIT, lock=True)
    if note.workspace_id != ctx.viewer.workspace_id:
        raise not_found("Note", note_id)
    in_progress = (col(Recording.note_id) == note_id, col(Recording.state).in_(IN_PROGRESS))
    if (await tx.execute(select(col(Recording.id)).where(*in_progress).limit(1))).one_or_none() is not None:
        raise Problem(ErrorCode.CONFLICT, "Another recording is being added to this note.", "noteId")
    return (await tx.execute(select(*note_columns(None)).where(col(Note.id) == note_id))).one()


async def _lock_unused(tx: Transaction, recording: Record) -> None:
    query = select(col(Recording.state)).where(col(Recording.id) == recording.id).with_for_update()
    state = (await tx.execute(query)).scalar_one_or_none()
    if state is None:  # It was deleted since it was read.
        raise unprocessable("The audio has not been uploaded.")
    if state not in UNUSED:
        raise Problem(ErrorCode.CONFLICT, "A note was already created from this audio.", FIELD)


def _note_values(draft: FromAudioDraft, recording: Record, existing: Record | None) -> dict[str, Any]:
    """Returns the columns to write; of an existing note only those that the request names."""
    title = draft.title or (default_title(recording.created_at) if existing is None else existing.title)
    values: dict[str, Any] = {"status": NoteStatus.TRANSCRIPT_PROCESSING, "title": title}
    if existing is None or draft.kind is not None:
        values["kind"] = draft.kind or NoteKind.IN_PERSON
    if draft.folder_id is not None:
        values["folder_id"] = draft.folder_id
    event_id = (existing.calendar_event or {}).get("id") if existing else None
    if draft.calendar_event_id is not None and draft.calendar_event_id != event_id:
        values["calendar_event"] = _calendar_event(draft.calendar_event_id, title, recording)
    return values


def _calendar_event(event_id: str, title: str, recording: Record) -> dict[str, Any]:
    """Returns an event of which only the id is known. Its times are those of the recording."""
    start = recording.created_at - timedelta(seconds=recording.duration_sec)
    event = CalendarEventDraft(id=event_id, title=title, starts_at=start, ends_at=recording.created_at)
    return event.model_dump(mode="json")


async def _insert(ctx: Context, tx: Transaction, values: dict[str, Any]) -> Record:
    owner = {
        "id": new_id(),
        "workspace_id": ctx.viewer.workspace_id,
        "created_by_id": ctx.viewer.user_id,
        "visibility": NoteVisibility.WORKSPACE,
    }
    return (await tx.execute(insert(Note).values(**owner, **values).returning(*note_columns(None)))).one()


async def _start(tx: Transaction, recording: Record, note: Record) -> None:
    values = {"state": RecordingState.TRANSCRIBING, "note_id": note.id, "updated_at": func.now()}
    await tx.execute(update(Recording).where(col(Recording.id) == recording.id).values(values))


async def _publish(ctx: Context, tx: Transaction, note: Record, kind: EventType, **payload: Any) -> None:
    scope = {"workspace_id": note.workspace_id, "note_id": note.id}
    await publish(tx, ctx.viewer, kind, **scope, **payload, audience=describe_audience(note))
