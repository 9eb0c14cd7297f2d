"""The `webhooks` of the OpenAPI document: the requests that a receiver gets.

`resolvers.webhooks.events` lists the events; here is the schema of each payload.
"""

from collections.abc import Iterator
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic.alias_generators import to_snake
from typing_extensions import TypedDict

from resolvers.webhooks.events import WEBHOOK_EVENTS, WebhookEventName
from resolvers.webhooks.payloads import (
    PayloadBuilder,
    build_audio,
    build_deleted_note,
    build_meeting,
    build_note,
    build_test,
)
from rest_compat.openapi.headers import request_headers
from rest_compat.openapi.schemas import SchemaRegistry
from rest_compat.shapes import Attendee, CalendarEvent, Moment, Note, Participant, Segment

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


MEETING_NAMES = {
    Participant: "MeetingParticipant",
    Segment: "MeetingSegment",
    Attendee: "MeetingAttendee",
    CalendarEvent: "MeetingEvent",
    Note: "Meeting",
}
"""The shapes of a note that have fields of several words, and the names of their forms in snake_case."""


@cache
def snake_cased_shape(shape: Any) -> Any:
    """The shape of what `resolvers.webhooks.payloads.snake_cased` makes of JSON of a shape."""
    if shape in MEETING_NAMES:
        hints = get_type_hints(shape, include_extras=True)
        fields = {to_snake(name): snake_cased_shape(hint) for name, hint in hints.items()}
        snake_cased: Any = TypedDict(MEETING_NAMES[shape], fields)  # type: ignore[misc]  # made of another
        snake_cased.__doc__ = f"A {shape.__name__} with the names of its fields in snake_case."
        return snake_cased
    if get_origin(shape) is list:
        return list[snake_cased_shape(*get_args(shape))]  # type: ignore[misc]
    if get_origin(shape) is UnionType:
        return reduce(or_, map(snake_cased_shape, get_args(shape)))
    return shape


class MeetingPayload(TypedDict):
    meeting: snake_cased_shape(Note)  # type: ignore[valid-type]


SCHEMAS: dict[PayloadBuilder, Any] = {
    build_note: Envelope[NotePayload],
    build_deleted_note: Envelope[DeletedNotePayload],
    build_audio: Envelope[AudioPayload],
    build_meeting: Envelope[MeetingPayload],
    build_test: Envelope[TestPayload],
}
"""What is posted, by the function that builds its payload."""
REQUESTS = [(event.name, event.description, SCHEMAS[event.build]) for event in WEBHOOK_EVENTS]
"""The name of each event, when it is sent, and what is posted."""

DESCRIPTION = (
    "The request is repeated until it is acknowledged. `eventId` is the same on every attempt. A note has the state of "
    "the event."
)
RESPONSES = {
    "2XX": {"description": "Any 2xx within 10 seconds acknowledges the event. Anything else is retried."},
    "410": {"description": "The endpoint is gone. The webhook is disabled at once."},
}
HEADERS = ("CaretSignature", "WebhookId", "WebhookTimestamp", "WebhookSignature")


def shapes() -> Iterator[tuple[Any, str]]:
    """Every type whose schema the document needs for webhooks, with its JSON Schema mode."""
    yield from ((schema, "serialization") for _, _, schema in REQUESTS)


def webhooks(schemas: SchemaRegistry) -> Json:
    """The Path Item Object of each event, by its name."""
    return {
        name: {"post": _operation(name, when, schemas.reference(schema, "serialization"))}
        for name, when, schema in REQUESTS
    }


def _operation(name: str, when: str, schema: Json) -> Json:
    words = name.replace(".", "_").split("_")
    return {
        "operationId": "on" + "".join(word.capitalize() for word in words),
        "summary": when.removesuffix("."),
        "description": DESCRIPTION,
        "parameters": request_headers(*HEADERS),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {**schema, "properties": {"type": {"const": name}}}}},
        },
        "responses": RESPONSES,
        "security": [],
    }
