"""The documented Note: the JSON that `/v1` answers with and that webhooks post, made of rows.

No part of `resolvers.notes`: the event log reads it for webhooks, and notes are written with the event log.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlmodel import col

from models import Note, NoteTag, Tag, TranscriptSegment
from models.base import Record
from resolvers.core.database import Transaction

COLUMNS: tuple[Any, ...] = tuple(
    getattr(Note, name)
    for name in (
        *("id", "title", "kind", "status", "created_at", "updated_at", "visibility", "participants"),
        *("total_duration_sec", "user_written_note", "enhanced_note", "summary", "calendar_event"),
        *("input_language", "translation_language", "meeting_app", "revision"),
    )
)
PARTICIPANT = {
    "name": "name",
    "email": "email",
    "profileImageUrl": "profile_image_url",
    "accountName": "account_name",
    "accountDomain": "account_domain",
    "accountImageUrl": "account_image_url",
}


def millis(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as JavaScript writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tags_query(note_ids: Iterable[UUID]) -> Select[*tuple[Any, ...]]:
    """The tags of notes with their `note_id`, in the order of their names."""
    return (
        select(col(NoteTag.note_id), Tag)
        .join(Tag, col(Tag.id) == col(NoteTag.tag_id))
        .where(col(NoteTag.note_id).in_(list(note_ids)))
        .order_by(col(Tag.name), col(Tag.id))
    )


def segments_query(note_ids: Iterable[UUID]) -> Select[Any]:
    """The whole transcripts of notes, in the order of speaking."""
    query = select(TranscriptSegment).where(col(TranscriptSegment.note_id).in_(list(note_ids)))
    return query.order_by(col(TranscriptSegment.note_id), col(TranscriptSegment.position))


async def read(tx: Transaction, note_id: UUID) -> dict[str, Any] | None:
    """The note as this transaction sees it, whoever may read it; None where it is gone. Three statements."""
    row = (await tx.execute(select(*COLUMNS).where(col(Note.id) == note_id))).one_or_none()
    if row is None:
        return None
    tags = (await tx.execute(tags_query([note_id]))).all()
    return shown(row, tags, (await tx.execute(segments_query([note_id]))).all())


def shown(row: Record, tags: Iterable[Record], segments: Iterable[Record]) -> dict[str, Any]:
    return {
        "id": row.id,
        "title": row.title,
        "kind": row.kind,
        "status": row.status,
        "createdAt": millis(row.created_at),
        "updatedAt": millis(row.updated_at),
        "visibility": row.visibility,
        "tags": [{"id": tag.id, "name": tag.name, "color": tag.color} for tag in tags],
        "participants": [_participant(person) for person in row.participants],
        "totalDurationSec": row.total_duration_sec,
        "userWrittenNote": row.user_written_note,
        "enhancedNote": row.enhanced_note,
        "summary": row.summary,
        "transcripts": [_segment(segment) for segment in segments],
        "calendarEvent": row.calendar_event and _calendar_event(row.calendar_event),
        "inputLanguage": row.input_language,
        "translationLanguage": row.translation_language,
        "meetingApp": row.meeting_app,
        "revision": row.revision,
    }


def _participant(person: dict[str, Any]) -> dict[str, Any]:
    return {shown: person.get(stored) for shown, stored in PARTICIPANT.items()}


def _segment(segment: Record) -> dict[str, Any]:
    return {
        "speaker": segment.speaker,
        "text": segment.text,
        "translation": segment.translation,
        "startTimestamp": segment.start_timestamp,
        "endTimestamp": segment.end_timestamp,
    }


def _calendar_event(event: dict[str, Any]) -> dict[str, Any]:
    def moment(name: str) -> str | None:
        text = event.get(name)
        return text and millis(datetime.fromisoformat(text))

    return {
        "id": event["id"],
        "href": event.get("href"),
        "title": event["title"],
        "startsAt": millis(datetime.fromisoformat(event["starts_at"])),
        "endsAt": millis(datetime.fromisoformat(event["ends_at"])),
        "createdAt": moment("created_at"),
        "updatedAt": moment("updated_at"),
        "calendarId": event.get("calendar_id"),
        "attendees": [
            {"self": one["self"], "email": one["email"], "displayName": one.get("display_name")}
            for one in event.get("attendees", ())
        ],
    }
