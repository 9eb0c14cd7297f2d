"""The `webhooks` of the OpenAPI document: the posts that a receiver gets.

`resolvers.webhooks.events` lists the events; here is the schema of each payload.
"""

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from typing_extensions import TypedDict

from models.note import NoteKind, NoteStatus, NoteVisibility
from resolvers.webhooks.events import WEBHOOK_EVENTS, WebhookEventName
from resolvers.webhooks.payloads import (
    PayloadBuilder,
    build_audio,
    build_deleted_note,
    build_meeting,
    build_note,
    build_test,
)
from rest_compat.headers import taken
from rest_compat.shapes import Moment, Note, TagOfNote

Json = dict[str, Any]
T = TypeVar("T")


class Envelope(TypedDict, Generic[T]):
    type: WebhookEventName
    eventId: UUID
    webhookId: UUID
    workspaceId: UUID
    timestamp: Moment
    payload: T


class NotePayload(TypedDict):
    note: Note


class NoteId(TypedDict):
    id: UUID


class DeletedNotePayload(TypedDict):
    note: NoteId


class AudioPayload(TypedDict):
    noteId: UUID
    audioUrl: str
    audio_url: str


class TestPayload(TypedDict):
    message: str


class MeetingParticipant(TypedDict):
    name: str
    email: str
    profile_image_url: str | None
    account_name: str | None
    account_domain: str | None
    account_image_url: str | None


class MeetingSegment(TypedDict):
    speaker: str
    text: str
    translation: str | None
    start_timestamp: str
    end_timestamp: str


class MeetingAttendee(TypedDict):
    self: bool
    email: str
    display_name: str | None


class MeetingEvent(TypedDict):
    id: str
    href: str | None
    title: str
    starts_at: Moment
    ends_at: Moment
    created_at: Moment | None
    updated_at: Moment | None
    calendar_id: str | None
    attendees: list[MeetingAttendee]


class Meeting(TypedDict):
    """The Note under the older API's names."""

    id: UUID
    title: str
    kind: NoteKind
    status: NoteStatus
    created_at: Moment
    updated_at: Moment
    visibility: NoteVisibility
    tags: list[TagOfNote]
    participants: list[MeetingParticipant]
    total_duration_sec: float
    user_written_note: str
    enhanced_note: str
    summary: str
    transcripts: list[MeetingSegment]
    calendar_event: MeetingEvent | None
    input_language: str | None
    translation_language: str | None
    meeting_app: str | None
    revision: int


class MeetingPayload(TypedDict):
    meeting: Meeting


SCHEMAS: dict[PayloadBuilder, Any] = {
    build_note: Envelope[NotePayload],
    build_deleted_note: Envelope[DeletedNotePayload],
    build_audio: Envelope[AudioPayload],
    build_meeting: Envelope[MeetingPayload],
    build_test: Envelope[TestPayload],
}
"""What is posted, by the function that builds its payload."""
POSTS = [(event.name, event.description, SCHEMAS[event.build]) for event in WEBHOOK_EVENTS]
"""The name of each event, when it is sent, and what is posted."""

DESCRIPTION = (
    "Posted until it is acknowledged; `eventId` is the same on every attempt. A note is shown as it was at that event."
)
ANSWERS = {
    "2XX": {"description": "Any 2xx within 10 seconds acknowledges; anything else is tried again."},
    "410": {"description": "Gone for good: the webhook is disabled at once."},
}
HEADERS = ("CaretSignature", "WebhookId", "WebhookTimestamp", "WebhookSignature")


class Known(Protocol):
    """The schemas that were made for the document."""

    def of(self, shape: Any, mode: str) -> Json: ...


def shapes() -> Iterator[tuple[Any, str]]:
    """Every type that the document must have for the posts."""
    yield from ((schema, "serialization") for _, _, schema in POSTS)


def webhooks(known: Known) -> Json:
    """The `webhooks` of the document, by the name of their event."""
    return {name: {"post": _post(name, when, known.of(schema, "serialization"))} for name, when, schema in POSTS}


def _post(name: str, when: str, schema: Json) -> Json:
    words = name.replace(".", "_").split("_")
    return {
        "operationId": "on" + "".join(word.capitalize() for word in words),
        "summary": when.removesuffix("."),
        "description": DESCRIPTION,
        "parameters": taken(*HEADERS),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {**schema, "properties": {"type": {"const": name}}}}},
        },
        "responses": ANSWERS,
        "security": [],
    }
