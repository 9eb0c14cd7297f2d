"""Inputs that write and filter notes. Their limits are declared in `models.note` and `models.transcript`."""

from datetime import datetime

import strawberry
from strawberry import UNSET

from schema.types.enums import NoteKind, NoteOrderField, NoteStatus, NoteVisibility, OrderDirection
from schema.types.note_fields import NoteFields, with_optional


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
@with_optional(NoteFields)
class UpdateNoteInput:
    """An absent field is kept, an explicit null clears what may be null."""

    status: NoteStatus | None = UNSET
    tag_ids: list[strawberry.ID] | None = UNSET
    folder_id: strawberry.ID | None = UNSET
    participants: list[ParticipantInput] | None = UNSET
    transcripts: list[TranscriptSegmentInput] | None = UNSET
    calendar_event: CalendarEventInput | None = UNSET


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
