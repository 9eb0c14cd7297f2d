"""What OpenAPI tells of webhooks: the posts that a receiver gets, from `resolvers.webhooks.payloads`."""

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from typing_extensions import TypedDict

from models.note import NoteKind, NoteStatus, NoteVisibility
from models.webhook import WebhookEventName
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


class NoteTold(TypedDict):
    note: Note


class NoteId(TypedDict):
    id: UUID


class NoteGone(TypedDict):
    note: NoteId


class AudioTold(TypedDict):
    noteId: UUID
    audioUrl: str
    audio_url: str


class TestTold(TypedDict):
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


class MeetingTold(TypedDict):
    meeting: Meeting


POSTS: dict[str, tuple[str, Any]] = {
    "note.created": ("A note was created.", Envelope[NoteTold]),
    "note.updated": ("A note was changed.", Envelope[NoteTold]),
    "note.deleted": ("A note was deleted.", Envelope[NoteGone]),
    "note.completed": ("A note's status became `completed`.", Envelope[NoteTold]),
    "note.audio_uploaded": ("A note is made of audio, or audio was added to it.", Envelope[AudioTold]),
    "test": ("The webhook was created, or somebody tries it.", Envelope[TestTold]),
    "meeting.created": ("A note was created: an older name of `note.created`.", Envelope[MeetingTold]),
    "meeting.audio_uploaded": ("An older name of `note.audio_uploaded`.", Envelope[AudioTold]),
}
"""Each event with when it comes and what is posted."""

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
    yield from ((shape, "serialization") for _, shape in POSTS.values())


def webhooks(known: Known) -> Json:
    """The `webhooks` of the document, by the name of their event."""
    return {
        name: {"post": _post(name, when, known.of(shape, "serialization"))} for name, (when, shape) in POSTS.items()
    }


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
