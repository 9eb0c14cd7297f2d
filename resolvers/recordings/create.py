"""Making a note of audio that arrived: from here on it is work in a row, done whatever happens to this process."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlmodel import col

from models import EventType, Folder, Note, Recording
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
from resolvers.notes.read import columns
from resolvers.notes.write import advance
from resolvers.recordings.audio_format import ENOUGH, is_it
from resolvers.recordings.tags import add_tags
from resolvers.recordings.upload import most, not_that_kind, too_large
from resolvers.recordings.upload_urls import may_record, name_of

FIELD = "audioUrl"
UNUSED = (RecordingState.AWAITED, RecordingState.UPLOADED)
BUSY = (RecordingState.TRANSCRIBING, RecordingState.SUMMARIZING)


async def create_note_from_audio(ctx: Context, draft: FromAudioDraft, key: str | None = None) -> UUID:
    """The id of the note that the audio becomes, or is added to; with an idempotency key only once.

    Raises UNPROCESSABLE for audio that is not this workspace's or did not arrive, for a tag or folder that is not
    there; CONFLICT for audio that was used already, or a note that another recording is being added to.
    """
    await may_record(ctx)
    recording = await _given_out(ctx, draft.audio_url)
    await _arrived(ctx, recording)
    attempt = new_id()
    async with ctx.transaction() as tx:
        if await claim(tx, ctx.viewer, key, attempt, operation="createNoteFromAudio", draft=draft) != attempt:
            return await _made_before(tx, recording)
        # The folder before the note, as whoever deletes a folder locks it before its notes.
        await _check_folder(ctx, tx, draft.folder_id)
        old = None if draft.note_id is None else await _free_note(ctx, tx, draft.note_id)
        await _take(tx, recording)
        values = _values(draft, recording, old)
        note = await (_create(ctx, tx, values) if old is None else advance(tx, old.id, values, reindex=True))
        await add_tags(tx, note, draft.tags)
        taken = {"state": RecordingState.TRANSCRIBING, "note_id": note.id, "updated_at": func.now()}
        await tx.execute(update(Recording).where(col(Recording.id) == recording.id).values(taken))
        await _tell(ctx, tx, note, EventType.NOTE_CREATED if old is None else EventType.NOTE_UPDATED)
        told = {"noteId": str(note.id), "audioUrl": recording.audio_url}
        await _tell(ctx, tx, note, EventType.NOTE_AUDIO_UPLOADED, **told)
    made: UUID = note.id
    return made


def default_title(moment: datetime) -> str:
    """What a recording without a title is called until it has a summary to be named after."""
    return f"Recording of {moment.astimezone(UTC):%Y-%m-%d %H:%M}"


async def _given_out(ctx: Context, audio_url: str) -> Record:
    """The workspace's recording that was given out under this very address. No other address is ever looked at."""
    mine = (
        col(Recording.id) == as_id(audio_url.rpartition("/")[2]),
        col(Recording.workspace_id) == ctx.viewer.workspace_id,
        col(Recording.audio_url) == audio_url,
    )
    async with ctx.read() as tx:
        row = (await tx.execute(select(Recording).where(*mine))).one_or_none()
    if row is None:
        raise unprocessable("This is no audioUrl that was given out for this workspace.")
    return row


async def _arrived(ctx: Context, recording: Record) -> None:
    """Refuses audio whose bytes are not there, or that came past this server and are not what was promised."""
    name = name_of(recording)
    stored = await ctx.audio.store.find(name)
    if stored is None:
        raise unprocessable("The audio has not been uploaded.")
    if recording.state is not RecordingState.AWAITED:
        return
    limit = most(recording.duration_sec)
    fits = stored.size <= limit
    # No store gives a part of nothing.
    start = await ctx.audio.store.read_start(name, ENOUGH) if stored.size else b""
    if fits and is_it(recording.extension, start):
        return
    await ctx.audio.store.delete([name])
    raise unprocessable(not_that_kind(recording.extension) if fits else too_large(limit).message)


def unprocessable(message: str, field: str = FIELD) -> Problem:
    return Problem(ErrorCode.UNPROCESSABLE, message, field)


async def _made_before(tx: Transaction, recording: Record) -> UUID:
    query = select(col(Recording.note_id)).where(col(Recording.id) == recording.id)
    note_id: UUID = (await tx.execute(query)).scalar_one()
    return note_id


async def _free_note(ctx: Context, tx: Transaction, note_id: UUID) -> Record:
    """The note, held, if it is the workspace's and no other recording is on its way to it."""
    note = await access.require_note(tx, ctx.viewer, note_id, Right.EDIT, lock=True)
    if note.workspace_id != ctx.viewer.workspace_id:
        raise not_found("Note", note_id)
    busy = select(col(Recording.id)).where(col(Recording.note_id) == note_id, col(Recording.state).in_(BUSY))
    if (await tx.execute(busy.limit(1))).one_or_none() is not None:
        raise Problem(ErrorCode.CONFLICT, "Another recording is being added to this note.", "noteId")
    return (await tx.execute(select(*columns(None)).where(col(Note.id) == note_id))).one()


async def _take(tx: Transaction, recording: Record) -> None:
    query = select(col(Recording.state)).where(col(Recording.id) == recording.id).with_for_update()
    state = (await tx.execute(query)).scalar_one_or_none()
    if state is None:  # removed since it was looked up
        raise unprocessable("The audio has not been uploaded.")
    if state not in UNUSED:
        raise Problem(ErrorCode.CONFLICT, "This audio was made a note of already.", FIELD)


def _values(draft: FromAudioDraft, recording: Record, old: Record | None) -> dict[str, Any]:
    """The columns to write; of a note that is there already only what was sent."""
    title = draft.title or (default_title(recording.created_at) if old is None else old.title)
    values: dict[str, Any] = {"status": NoteStatus.TRANSCRIPT_PROCESSING, "title": title}
    if old is None or draft.kind is not None:
        values["kind"] = draft.kind or NoteKind.IN_PERSON
    if draft.folder_id is not None:
        values["folder_id"] = draft.folder_id
    known = (old.calendar_event or {}).get("id") if old else None
    if draft.calendar_event_id is not None and draft.calendar_event_id != known:
        values["calendar_event"] = _event(draft.calendar_event_id, title, recording)
    return values


async def _check_folder(ctx: Context, tx: Transaction, folder_id: UUID | None) -> None:
    if folder_id is None:
        return
    here = (col(Folder.id) == folder_id, col(Folder.workspace_id) == ctx.viewer.workspace_id)
    seen = select(col(Folder.id)).where(*here, access.folder_visible_to(ctx.viewer))
    locked = seen.with_for_update(read=True, key_share=True, of=Folder)
    if (await tx.execute(locked)).one_or_none() is None:
        raise unprocessable(f"Unknown folder {folder_id}.", "folderId")


def _event(event_id: str, title: str, recording: Record) -> dict[str, Any]:
    """What is known of an event that only its id was told of: its times are those of the recording."""
    begun = recording.created_at - timedelta(seconds=recording.duration_sec)
    event = CalendarEventDraft(id=event_id, title=title, starts_at=begun, ends_at=recording.created_at)
    return event.model_dump(mode="json")


async def _create(ctx: Context, tx: Transaction, values: dict[str, Any]) -> Record:
    place = {
        "id": new_id(),
        "workspace_id": ctx.viewer.workspace_id,
        "created_by_id": ctx.viewer.user_id,
        "visibility": NoteVisibility.WORKSPACE,
    }
    return (await tx.execute(insert(Note).values(**place, **values).returning(*columns(None)))).one()


async def _tell(ctx: Context, tx: Transaction, note: Record, kind: EventType, **payload: Any) -> None:
    place = {"workspace_id": note.workspace_id, "note_id": note.id}
    await publish(tx, ctx.viewer, kind, **place, **payload, audience=describe_audience(note))
