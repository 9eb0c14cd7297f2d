"""Serializes a note as the JSON that `/v1` returns and that webhooks post."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlalchemy import Select, select
from sqlmodel import col

from models import Note, NoteTag, Tag, TranscriptSegment
from models.base import Record
from models.note import NoteFields
from resolvers.core.database import Transaction

DOCUMENT_FIELDS = {"content_text", "content_json"}
"""The editor's document, which only GraphQL reads and writes."""
PLAIN_FIELDS = {to_camel(name): name for name in NoteFields.model_fields if name not in DOCUMENT_FIELDS}
"""The column of each field that is serialized as it is stored."""
OTHER_COLUMNS = ("id", "status", "revision", "created_at", "updated_at", "participants", "calendar_event")
COLUMNS: tuple[Any, ...] = tuple(getattr(Note, name) for name in (*PLAIN_FIELDS.values(), *OTHER_COLUMNS))
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
    """The JSON of the note as this transaction sees it, in three statements. None if the note is deleted. No gate."""
    row = (await tx.execute(select(*COLUMNS).where(col(Note.id) == note_id))).one_or_none()
    if row is None:
        return None
    tags = (await tx.execute(tags_query([note_id]))).all()
    return serialize(row, tags, (await tx.execute(segments_query([note_id]))).all())


def serialize(row: Record, tags: Iterable[Record], segments: Iterable[Record]) -> dict[str, Any]:
    """The note's JSON from its row, its tags and its whole transcript."""
    return {
        "id": row.id,
        "status": row.status,
        **{field: getattr(row, column) for field, column in PLAIN_FIELDS.items()},
        "createdAt": millis(row.created_at),
        "updatedAt": millis(row.updated_at),
        "tags": [{"id": tag.id, "name": tag.name, "color": tag.color} for tag in tags],
        "participants": [_participant(person) for person in row.participants],
        "transcripts": [_segment(segment) for segment in segments],
        "calendarEvent": row.calendar_event and _calendar_event(row.calendar_event),
        "revision": row.revision,
    }


def _participant(person: dict[str, Any]) -> dict[str, Any]:
    return {field: person.get(stored) for field, stored in PARTICIPANT.items()}


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
