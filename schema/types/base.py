"""What the GraphQL types share: nodes, connections, ids.

The objects behind the types are the resolvers' rows: a field without a function reads the attribute of the same name.
"""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, cast
from uuid import UUID

import strawberry

from models.base import as_id
from resolvers.core.errors import ErrorCode, Problem, not_found
from resolvers.core.pagination import Page
from resolvers.nodes import NodeRow
from schema.execution.request import Request

Info = strawberry.Info[Request, None]


@strawberry.interface(description="An object that can be read by its ID alone.")
class Node:
    id: strawberry.ID

    @classmethod
    def is_type_of(cls, _obj: object, _info: object) -> bool:
        # The objects are rows, not instances. A field of an object type returns rows of that type only.
        return True

    @classmethod
    def resolve_type(cls, obj: NodeRow, *_: object) -> str:
        # A row does not know its table, so a row that is read by its id alone comes with the name of its type.
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


@strawberry.type(description="A page of a list, following the Relay cursor connections specification.")
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


async def get_or_none(text: str, get: Callable[[UUID], Awaitable[T]]) -> T | None:
    """For a query by id: an object that does not exist, or that the viewer may not read, is null without an error."""
    parsed = as_id(text)
    if parsed is None:
        return None
    try:
        return await get(parsed)
    except Problem as problem:
        if problem.code in {ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN}:
            return None
        raise


def parse_id(noun: str, text: str) -> UUID:
    """The id in an argument. Raises NOT_FOUND for a malformed one, like for any other that does not exist."""
    parsed = as_id(text)
    if parsed is None:
        raise not_found(noun, text[:64])
    return parsed
