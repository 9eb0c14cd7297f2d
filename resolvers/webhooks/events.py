"""The events that a webhook can subscribe to. This is the only place that lists them.

To add one whose payload exists already, add a line to WEBHOOK_EVENTS: drafts, `webhookEvents`, the OpenAPI document and
the outbox read it. A new payload needs a builder in `resolvers.webhooks.payloads` and a schema in
`rest_compat.openapi.webhooks`, which does not import without it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from models import EventType
from resolvers.webhooks.payloads import (
    PayloadBuilder,
    build_audio,
    build_deleted_note,
    build_meeting,
    build_note,
    build_test,
)


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """An event by the name that endpoints subscribe to and that is sent as `type`.

    `trigger` is the event of the log that sends it; None: it is sent on request alone. `description` is a sentence for
    the OpenAPI document that says when it is sent. Two events of one trigger are names of the same event: an endpoint
    gets one delivery, under the name that it lists first.
    """

    name: str
    trigger: EventType | None
    build: PayloadBuilder
    description: str


TEST_EVENT = "test"
WEBHOOK_EVENTS = (
    WebhookEvent("note.created", EventType.NOTE_CREATED, build_note, "A note was created."),
    WebhookEvent("note.updated", EventType.NOTE_UPDATED, build_note, "A note was changed."),
    WebhookEvent("note.deleted", EventType.NOTE_DELETED, build_deleted_note, "A note was deleted."),
    WebhookEvent("note.completed", EventType.NOTE_COMPLETED, build_note, "A note's status became `completed`."),
    WebhookEvent(
        "note.audio_uploaded",
        EventType.NOTE_AUDIO_UPLOADED,
        build_audio,
        "A note was created from audio, or audio was added to a note.",
    ),
    WebhookEvent(TEST_EVENT, None, build_test, "The webhook was created, or a test was requested."),
    # Older names, from here on.
    WebhookEvent(
        "meeting.created",
        EventType.NOTE_CREATED,
        build_meeting,
        "A note was created: an older name of `note.created`.",
    ),
    WebhookEvent(
        "meeting.audio_uploaded",
        EventType.NOTE_AUDIO_UPLOADED,
        build_audio,
        "An older name of `note.audio_uploaded`.",
    ),
)
EVENT_NAMES = tuple(event.name for event in WEBHOOK_EVENTS)


def by_trigger(events: Iterable[WebhookEvent]) -> Mapping[EventType, Mapping[str, WebhookEvent]]:
    """The events that an event of the log sends, by their names. Raises ValueError where two events have one name."""
    names: set[str] = set()
    triggered: dict[EventType, dict[str, WebhookEvent]] = {}
    for event in events:
        if event.name in names:
            raise ValueError(f"two webhook events are named {event.name}")
        names.add(event.name)
        if event.trigger is not None:
            triggered.setdefault(event.trigger, {})[event.name] = event
    return triggered


EVENTS_BY_TRIGGER = by_trigger(WEBHOOK_EVENTS)

if TYPE_CHECKING:  # a type checker can't evaluate the names
    WebhookEventName = str
else:
    WebhookEventName = Literal[EVENT_NAMES]
