"""Creates, changes and deletes notes: one transaction for each change and its events.

A change of an indexed text also requests that the note is indexed, and a change of the transcript its translation.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, insert, null, select
from sqlalchemy import delete as remove
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import EventType, Note, NoteShare, NoteTag, Tag, TranscriptSegment
from models.base import Record, new_id
from models.note import NoteChange, NoteDraft, NoteStatus, ParticipantDraft
from models.transcript import MAX_SEGMENTS, SegmentDraft, TranscriptDraft
from resolvers.auth import access
from resolvers.auth.access import Right
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, bad_input
from resolvers.core.idempotency import claim
from resolvers.events.audience import describe_audience
from resolvers.events.log import publish
from resolvers.notes.folders import check_folder, lock_folder
from resolvers.notes.read import get_note, note_columns

INDEXED_FIELDS = {"title", "user_written_note", "enhanced_note", "summary", "content_text", "transcripts"}
TRANSLATED_FIELDS = {"transcripts", "translation_language"}
COLUMNS = Note.__table__.columns  # type: ignore[attr-defined]  # set on table classes
STORED_FIELDS = NoteDraft.model_fields.keys() & COLUMNS.keys()
"""The fields of a draft that are columns of the note. The others are rows of other tables."""
NULLABLE_FIELDS = {name for name in STORED_FIELDS if COLUMNS[name].nullable}


async def create_note(ctx: Context, draft: NoteDraft, key: str | None = None) -> Record:
    """Creates a note in the viewer's workspace. A second call with the same idempotency key returns the first note.

    Raises UNPROCESSABLE for an unknown tag or folder.
    """
    viewer = ctx.viewer
    access.require_scope(viewer, "notes", write=True)
    values = _values(draft, set(type(draft).model_fields))
    values["status"] = draft.status or (NoteStatus.COMPLETED if draft.transcripts else NoteStatus.IDLE)
    values["translate_after"] = translation_due_at(draft.translation_language if draft.transcripts else None)
    note_id = new_id()
    async with ctx.transaction() as tx:
        created_id = await claim(tx, viewer, key, note_id, operation="createNote", draft=draft)
        if created_id == note_id:
            return await _create(ctx, tx, draft, {"id": note_id, **values})
    return await get_note(ctx, created_id)


async def _create(ctx: Context, tx: Transaction, draft: NoteDraft, values: dict[str, Any]) -> Record:
    check_folder(draft.folder_id, await lock_folder(tx, ctx.viewer, draft.folder_id), ctx.viewer.workspace_id)
    await _lock_tags(tx, ctx.viewer.workspace_id, draft.tag_ids)
    statement = insert(Note).values(workspace_id=ctx.viewer.workspace_id, created_by_id=ctx.viewer.user_id, **values)
    row = (await tx.execute(statement.returning(*note_columns(None)))).one()
    await _insert_tags(tx, row, draft.tag_ids)
    await insert_segments(tx, row, draft.transcripts, 0)
    await _publish(ctx, tx, row, EventType.NOTE_CREATED, completed=row.status is NoteStatus.COMPLETED)
    return row


async def update_note(ctx: Context, note_id: UUID, change: NoteChange, if_revision: int | None = None) -> Record:
    """Changes the fields that were sent. Without any, the note and its revision stay as they are.

    Raises STALE_REVISION if `if_revision` is given and is not the note's revision.
    """
    fields = set(change.model_fields_set)
    _refuse_nulls(change, fields)
    right = Right.MANAGE if "visibility" in fields else Right.EDIT
    async with ctx.transaction() as tx:
        # The folder is locked before the note, in the order of those who delete a folder.
        folder = await lock_folder(tx, ctx.viewer, change.folder_id)
        note = await access.require_note(tx, ctx.viewer, note_id, right, lock=True)
        if if_revision is not None and if_revision != note.revision:
            raise Problem(ErrorCode.STALE_REVISION, f"The note is at revision {note.revision}, not {if_revision}.")
        before = (await tx.execute(select(*note_columns(None)).where(col(Note.id) == note_id))).one()
        if not fields:
            return before
        check_folder(change.folder_id, folder, note.workspace_id)
        reindex, retranslate = bool(fields & INDEXED_FIELDS), bool(fields & TRANSLATED_FIELDS)
        row = await write_revision(tx, note_id, _values(change, fields), reindex=reindex, retranslate=retranslate)
        if "tag_ids" in fields:
            await _lock_tags(tx, note.workspace_id, change.tag_ids)
            await tx.execute(remove(NoteTag).where(col(NoteTag.note_id) == note_id))
            await _insert_tags(tx, row, change.tag_ids)
        if "transcripts" in fields:
            await tx.execute(remove(TranscriptSegment).where(col(TranscriptSegment.note_id) == note_id))
            await insert_segments(tx, row, change.transcripts, 0)
        completed = row.status is NoteStatus.COMPLETED is not before.status
        await _publish(ctx, tx, row, EventType.NOTE_UPDATED, completed=completed)
    return row


async def append_transcript(ctx: Context, note_id: UUID, draft: TranscriptDraft) -> Record:
    """Adds segments at the end of a note's transcript. Raises UNPROCESSABLE beyond MAX_SEGMENTS."""
    async with ctx.transaction() as tx:
        note = await access.require_note(tx, ctx.viewer, note_id, Right.EDIT, lock=True)
        last = select(func.max(col(TranscriptSegment.position)), func.count()).where(
            col(TranscriptSegment.note_id) == note_id
        )
        position, size = (await tx.execute(last)).one()
        if size + len(draft.segments) > MAX_SEGMENTS:
            raise Problem(ErrorCode.UNPROCESSABLE, f"A transcript has at most {MAX_SEGMENTS} segments.", "segments")
        await insert_segments(tx, note, draft.segments, 0 if position is None else position + 1)
        row = await write_revision(tx, note_id, {}, reindex=True, retranslate=True)
        await _publish(ctx, tx, row, EventType.NOTE_UPDATED)
    return row


async def delete_note(ctx: Context, note_id: UUID) -> None:
    """Deletes a note with its conversations, chunks, shares and links to tags."""
    async with ctx.transaction() as tx:
        note = await access.require_note(tx, ctx.viewer, note_id, Right.MANAGE, lock=True)
        shares = await tx.execute(select(col(NoteShare.user_id)).where(col(NoteShare.note_id) == note_id))
        readers = describe_audience(note, shares.scalars().all())
        await tx.execute(remove(Note).where(col(Note.id) == note_id))
        await publish(
            tx, ctx.viewer, EventType.NOTE_DELETED, workspace_id=note.workspace_id, note_id=note_id, audience=readers
        )


async def write_revision(
    tx: Transaction, note_id: UUID, values: dict[str, Any], *, reindex: bool, retranslate: bool = False
) -> Record:
    """Writes columns of a note as its next revision. The caller has locked its row.

    `reindex` requests that the note is indexed, `retranslate` that segments without a translation get one.
    """
    # Not now(), the time when the transaction began: it may have waited for a later change of the row.
    values = {**values, "revision": col(Note.revision) + 1, "updated_at": func.clock_timestamp()}
    if reindex:
        # A new text is indexed at once, even if the attempts for the text before it had failed.
        values |= {
            "index_wanted": col(Note.index_wanted) + 1,
            "index_content": None,
            "index_after": None,
            "index_failures": 0,
        }
    if retranslate:
        language = values.get("translation_language", col(Note.translation_language))
        values |= {"translate_after": translation_due_at(language), "translate_failures": 0}
    statement = change_rows(Note).where(col(Note.id) == note_id).values(**values).returning(*note_columns(None))
    return (await tx.execute(statement)).one()


def translation_due_at(language: Any) -> ColumnElement[Any]:
    """The `translate_after` of a note with this language, or with that of a column: now, or NULL without one."""
    if language is None or isinstance(language, str):
        return null() if language is None else func.clock_timestamp()
    return case((language.is_not(None), func.clock_timestamp()), else_=null())


async def _publish(ctx: Context, tx: Transaction, note: Record, kind: EventType, *, completed: bool = False) -> None:
    for event in (kind, EventType.NOTE_COMPLETED) if completed else (kind,):
        await publish(
            tx, ctx.viewer, event, workspace_id=note.workspace_id, note_id=note.id, audience=describe_audience(note)
        )


def _refuse_nulls(change: NoteChange, fields: set[str]) -> None:
    for name in fields - NULLABLE_FIELDS:
        if getattr(change, name) is None:
            raise bad_input(type(change).model_fields[name].alias or name, "This field can't be null.")


def _values(draft: NoteDraft, fields: set[str]) -> dict[str, Any]:
    """The values of the columns behind a draft's fields. JSON columns get plain JSON values."""
    values = {name: getattr(draft, name) for name in fields & STORED_FIELDS}
    if "participants" in fields:
        values["participants"] = [_participant(person) for person in draft.participants]
    if values.get("calendar_event") is not None:
        values["calendar_event"] = draft.calendar_event.model_dump(mode="json")  # type: ignore[union-attr]  # just checked
    return values


def _participant(person: ParticipantDraft) -> dict[str, Any]:
    # The address is returned as it was written. `email_key` is what filters compare, in any case.
    return {**person.model_dump(), "email_key": person.email.lower()}


async def _lock_tags(tx: Transaction, workspace_id: UUID, tag_ids: Sequence[UUID]) -> None:
    """Locks the tags against their deletion. Raises UNPROCESSABLE for a tag that the workspace does not have."""
    requested = set(tag_ids)
    if not requested:
        return
    query = select(col(Tag.id)).where(col(Tag.id).in_(requested), col(Tag.workspace_id) == workspace_id)
    known = set((await tx.execute(query.with_for_update(read=True, key_share=True))).scalars())
    if requested - known:
        raise Problem(ErrorCode.UNPROCESSABLE, f"Unknown tag {min(requested - known)}.", "tagIds")


async def _insert_tags(tx: Transaction, note: Record, tag_ids: Sequence[UUID]) -> None:
    rows = [{"note_id": note.id, "tag_id": one, "workspace_id": note.workspace_id} for one in set(tag_ids)]
    if rows:
        await tx.execute(insert(NoteTag), rows)


async def insert_segments(tx: Transaction, note: Record, drafts: Sequence[SegmentDraft], start: int) -> None:
    """Stores segments of a note's transcript at the positions from `start`."""
    if drafts:
        owner = {"note_id": note.id, "workspace_id": note.workspace_id}
        rows = [{**draft.model_dump(), **owner, "position": start + i} for i, draft in enumerate(drafts)]
        await tx.execute(insert(TranscriptSegment), rows)
