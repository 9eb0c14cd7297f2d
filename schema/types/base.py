"""What every GraphQL type is made of: the request's context, scalars, connections.

The objects behind the types are the resolvers' rows: a field without a function is the attribute of that name.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NewType, TypeVar, cast
from uuid import UUID

import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.name_converter import NameConverter
from strawberry.types.base import StrawberryObjectDefinition, StrawberryType
from strawberry.types.scalar import ScalarDefinition

from models.base import as_id
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem, not_found
from resolvers.core.pagination import Page
from resolvers.nodes import Found
from schema.execution.persisted_documents import Persisted
from schema.types.loaders import Loaders

if TYPE_CHECKING:
    from schema.execution.shared_results import Followed


@dataclass(frozen=True)
class Options:
    """What a deployment may choose about operations, the same for every request."""

    introspection: bool = True
    persisted: Persisted = field(default_factory=Persisted)


AT_ONCE = 4
"""Events of the log that one connection renders and sends at a time, whatever the number of its operations."""


@dataclass
class Request:
    """Who asks, and how: the context of an operation. Over a WebSocket it lives as long as the connection, and each
    operation gets a copy (see `transports.running`).

    `resume_after` is a cursor that came with the request, as `Last-Event-ID`, and not in the operation. A subscription
    rings `began` once it has passed its checks. One of the log leaves itself in `followed`, any other leaves the cursor
    of each event in `cursor` before it is told. `turns` are those of the connection's events: see `Stream`.
    """

    ctx: Context
    headers: Mapping[str, str] = field(default_factory=dict)
    connection_params: Mapping[str, Any] | None = None
    options: Options = field(default_factory=Options)
    resume_after: str | None = None
    began: asyncio.Event = field(default_factory=asyncio.Event)
    cursor: str | None = None
    followed: "Followed | None" = None
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def own(self) -> "Request":
        """A copy for one operation."""
        return replace(self, began=asyncio.Event(), cursor=None, followed=None)

    @cached_property
    def loaders(self) -> Loaders:
        return Loaders(self.ctx)


Info = strawberry.Info[Request, None]

Cursor = NewType("Cursor", str)
WebhookEventType = NewType("WebhookEventType", str)


def written_time(moment: datetime | str) -> str:
    """ISO 8601 in UTC with microseconds; what is stored as JSON is text already."""
    return moment if isinstance(moment, str) else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_time(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise GraphQLError("A DateTime is an ISO 8601 text with a time zone, like 2026-01-31T09:30:00Z.")
    return moment.astimezone(UTC)


def read_event_type(text: object) -> str:
    if not isinstance(text, str):
        raise GraphQLError("A WebhookEventType is a text like note.created.")
    return text


def scalar(name: str, description: str, **how: Any) -> ScalarDefinition:
    made: ScalarDefinition = strawberry.scalar(name=name, description=description, **how)
    return made


class Names(NameConverter):
    """The contract shortens the names of some connections."""

    SHORT: ClassVar = {"TranscriptSegment": "Transcript", "WebhookDelivery": "Delivery"}

    def from_generic(self, generic_type: StrawberryObjectDefinition, types: list[StrawberryType | type]) -> str:
        name = super().from_generic(generic_type, types)
        own = name.removesuffix(generic_type.name)
        return f"{self.SHORT.get(own, own)}{generic_type.name}"


CONFIG = StrawberryConfig(
    name_converter=Names(),
    default_resolver=lambda source, name: source.get(name) if isinstance(source, dict) else getattr(source, name),
    scalar_map={
        datetime: scalar("DateTime", "ISO 8601, UTC, Z.", serialize=written_time, parse_value=read_time),
        JSON: scalar("JSON", "Any JSON value."),
        Cursor: scalar(
            "Cursor",
            "An opaque position in an event log or a reply; passed back as `after`, the stream goes on without a gap "
            "or a repeat.",
            serialize=str,
            parse_value=str,
        ),
        WebhookEventType: scalar(
            "WebhookEventType",
            "What a webhook can be told of, like `note.created`; `webhookEvents` has them all.",
            serialize=str,
            parse_value=read_event_type,
        ),
    },
)


@strawberry.interface(description="What has an id of its own.")
class Node:
    id: strawberry.ID

    @classmethod
    def is_type_of(cls, _obj: object, _info: object) -> bool:
        # The objects are rows, not instances; a field of an object type always knows what it returns.
        return True

    @classmethod
    def resolve_type(cls, obj: Found, *_: object) -> str:
        # A row knows no table, so what is found by its id alone comes with the name of its type.
        return obj.type_name


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


T = TypeVar("T")


@strawberry.type
class Edge(Generic[T]):
    cursor: str
    node: T


@strawberry.type(description="A page of a list, as the Relay cursor connections specification has it.")
class Connection(Generic[T]):
    @strawberry.field
    @staticmethod
    def edges(root: strawberry.Parent[Page]) -> list[Edge[T]]:
        return [Edge(cursor=root.cursor(row), node=cast(T, row)) for row in root.rows]

    @strawberry.field
    @staticmethod
    def nodes(root: strawberry.Parent[Page]) -> list[T]:
        return cast(list[T], root.rows)

    @strawberry.field
    @staticmethod
    def page_info(root: strawberry.Parent[Page]) -> PageInfo:
        cursors = [root.cursor(row) for row in (*root.rows[:1], *root.rows[-1:])]
        start, end = (cursors[0], cursors[-1]) if cursors else (None, None)
        return PageInfo(
            has_next_page=root.has_next, has_previous_page=root.has_previous, start_cursor=start, end_cursor=end
        )

    @strawberry.field
    @staticmethod
    async def total_count(root: strawberry.Parent[Page]) -> int:
        return await root.total()


async def or_none(found: Awaitable[T]) -> T | None:
    """For a query by id: what is absent or not readable is null, without an error."""
    try:
        return await found
    except Problem as problem:
        if problem.code in {ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN}:
            return None
        raise


def ident(noun: str, given: str) -> UUID:
    """An id argument; a malformed one names nothing, so it is NOT_FOUND like any other that does."""
    found = as_id(given)
    if found is None:
        raise not_found(noun, given[:64])
    return found
