"""What clients send to write and to find notes. The limits stand with the drafts, in `models.note`."""

from datetime import datetime

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from schema.types.enums import NoteKind, NoteOrderField, NoteStatus, NoteVisibility, OrderDirection


@strawberry.input
class TranscriptSegmentInput:
    speaker: str
    text: str
    translation: str | None = UNSET
    start_timestamp: str
    end_timestamp: str


@strawberry.input
class ParticipantInput:
    name: str
    email: str
    profile_image_url: str | None = UNSET
    account_name: str | None = UNSET
    account_domain: str | None = UNSET
    account_image_url: str | None = UNSET


@strawberry.input
class AttendeeInput:
    self: bool | None = False
    email: str
    display_name: str | None = UNSET


@strawberry.input
class CalendarEventInput:
    id: strawberry.ID
    title: str
    href: str | None = UNSET
    starts_at: datetime
    ends_at: datetime
    calendar_id: str | None = UNSET
    attendees: list[AttendeeInput] | None = UNSET
    created_at: datetime | None = UNSET
    updated_at: datetime | None = UNSET


@strawberry.input
class UpdateNoteInput:
    """An absent field is kept, an explicit null clears what may be null."""

    title: str | None = UNSET
    kind: NoteKind | None = UNSET
    visibility: NoteVisibility | None = UNSET
    status: NoteStatus | None = UNSET
    user_written_note: str | None = UNSET
    enhanced_note: str | None = UNSET
    summary: str | None = UNSET
    content_json: JSON | None = UNSET
    content_text: str | None = UNSET
    tag_ids: list[strawberry.ID] | None = UNSET
    folder_id: strawberry.ID | None = UNSET
    participants: list[ParticipantInput] | None = UNSET
    transcripts: list[TranscriptSegmentInput] | None = UNSET
    calendar_event: CalendarEventInput | None = UNSET
    total_duration_sec: float | None = UNSET
    input_language: str | None = UNSET
    translation_language: str | None = UNSET
    meeting_app: str | None = UNSET


@strawberry.input
class CreateNoteInput(UpdateNoteInput):
    title: str
    idempotency_key: str | None = UNSET


@strawberry.input
class NoteFilter:
    status: NoteStatus | None = UNSET
    kind: NoteKind | None = UNSET
    visibility: NoteVisibility | None = UNSET
    search: str | None = UNSET
    created_by: strawberry.ID | None = UNSET
    created_from: datetime | None = UNSET
    created_to: datetime | None = UNSET
    tag_ids: list[strawberry.ID] | None = UNSET
    folder_ids: list[strawberry.ID] | None = UNSET
    participant_email: str | None = UNSET


@strawberry.input
class NoteOrder:
    field: NoteOrderField
    direction: OrderDirection
