"""The custom scalars, and how types and fields get their GraphQL names."""

from datetime import UTC, datetime
from typing import Any, ClassVar, NewType

import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.name_converter import NameConverter
from strawberry.types.base import StrawberryObjectDefinition, StrawberryType
from strawberry.types.scalar import ScalarDefinition

Cursor = NewType("Cursor", str)
WebhookEventType = NewType("WebhookEventType", str)


def serialize_time(moment: datetime | str) -> str:
    """ISO 8601 in UTC with microseconds. A time within stored JSON is text already."""
    return moment if isinstance(moment, str) else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_time(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise GraphQLError("A DateTime is an ISO 8601 text with a time zone, like 2026-01-31T09:30:00Z.")
    return moment.astimezone(UTC)


def parse_event_type(text: object) -> str:
    if not isinstance(text, str):
        raise GraphQLError("A WebhookEventType is a text like note.created.")
    return text


def scalar(name: str, description: str, **options: Any) -> ScalarDefinition:
    definition: ScalarDefinition = strawberry.scalar(name=name, description=description, **options)
    return definition


class SchemaNames(NameConverter):
    """The contract shortens the names of some connections."""

    SHORT: ClassVar = {"TranscriptSegment": "Transcript", "WebhookDelivery": "Delivery"}

    def from_generic(self, generic_type: StrawberryObjectDefinition, types: list[StrawberryType | type]) -> str:
        name = super().from_generic(generic_type, types)
        node = name.removesuffix(generic_type.name)
        return f"{self.SHORT.get(node, node)}{generic_type.name}"


CONFIG = StrawberryConfig(
    name_converter=SchemaNames(),
    default_resolver=lambda source, name: source.get(name) if isinstance(source, dict) else getattr(source, name),
    scalar_map={
        datetime: scalar(
            "DateTime",
            "A time in ISO 8601 format, in UTC, ending in `Z`.",
            serialize=serialize_time,
            parse_value=parse_time,
        ),
        JSON: scalar("JSON", "Any JSON value."),
        Cursor: scalar(
            "Cursor",
            "An opaque position in an event log or a reply. If you pass it back as `after`, the stream continues there "
            "without gaps or repeated events.",
            serialize=str,
            parse_value=str,
        ),
        WebhookEventType: scalar(
            "WebhookEventType",
            "The name of an event that a webhook can receive, such as `note.created`. `webhookEvents` lists them all.",
            serialize=str,
            parse_value=parse_event_type,
        ),
    },
)
