"""Paging by key: stable while rows are inserted, and as quick on page 1,000 as on the first.

The arguments and `PageInfo` follow the Relay cursor connections specification.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError
from sqlalchemy import Select, func, select, tuple_

from models.base import Prose, Record, When, as_id
from resolvers.core import cursors
from resolvers.core.context import Context
from resolvers.core.errors import bad_input

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
"""Rows of one page at most; more is BAD_USER_INPUT."""

# What a column of each type can hold: whoever makes up a cursor must not reach the database with more.
KEYS: dict[type, TypeAdapter[Any]] = {
    datetime: TypeAdapter(When),
    str: TypeAdapter(Prose),
    int: TypeAdapter(Annotated[int, Field(ge=-(2**31), lt=2**31)]),
}


@dataclass(frozen=True, slots=True)
class PageArguments:
    """Which part of a list: the `first` after a cursor, or the `last` before one."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    @property
    def backward(self) -> bool:
        return self.last is not None

    def size(self) -> int:
        if self.first is not None and self.last is not None:
            raise bad_input("last", "Pass either `first` or `last`, not both.")
        name = "last" if self.backward else "first"
        size = self.last if self.backward else self.first
        if size is None:
            return DEFAULT_PAGE_SIZE
        if not 1 <= size <= MAX_PAGE_SIZE:
            raise bad_input(name, f"`{name}` must be between 1 and {MAX_PAGE_SIZE}.")
        return size


def check_limit_and_offset(limit: int | None, offset: int) -> None:
    """Refuses a limit or an offset that a page by offset can't have."""
    if limit is not None and not 1 <= limit <= MAX_PAGE_SIZE:
        raise bad_input("limit", f"`limit` must be between 1 and {MAX_PAGE_SIZE}.")
    if offset < 0:
        raise bad_input("offset", "`offset` must not be negative.")


@dataclass(frozen=True, slots=True)
class Page:
    rows: Sequence[Record]
    cursor: Callable[[Record], str]
    has_next: bool
    has_previous: bool
    total: Callable[[], Awaitable[int]]
    """Counts all rows of the list; runs only when it is asked for."""


async def count(ctx: Context, query: Select[Any]) -> int:
    """How many rows a query has."""
    async with ctx.read() as tx:
        return int((await tx.execute(select(func.count()).select_from(query.subquery()))).scalar_one())


@dataclass(frozen=True, slots=True)
class Order:
    """A total order: by a column, ties by id. `kind` names it inside its cursors, so that none fits another list."""

    kind: str
    column: Any
    ident: Any
    descending: bool = False

    def cursor(self, row: Record) -> str:
        value = getattr(row, self.column.key)
        return cursors.encode(
            self.kind, value.isoformat() if isinstance(value, datetime) else value, str(getattr(row, self.ident.key))
        )

    def position(self, cursor: str, field: str) -> tuple[Any, UUID]:
        kind = self.column.type.python_type
        value, text = cursors.decode(self.kind, cursor, str if kind is datetime else kind, str, field=field)
        ident = as_id(text)
        if ident is None:
            raise cursors.invalid(field)
        try:
            return KEYS[kind].validate_python(value), ident
        except ValidationError:
            raise cursors.invalid(field) from None

    def apply(self, query: Select[Any], window: PageArguments) -> Select[Any]:
        """The query for the window's rows and one more, which tells whether there are more."""
        key = tuple_(self.column, self.ident)
        for cursor, field, beyond in ((window.after, "after", True), (window.before, "before", False)):
            if cursor is not None:
                edge = tuple_(*self.position(cursor, field))
                query = query.where(key > edge if beyond is not self.descending else key < edge)
        return self.sorted(query, backward=window.backward).limit(window.size() + 1)

    def sorted(self, query: Select[Any], *, backward: bool = False) -> Select[Any]:
        if self.descending is not backward:
            return query.order_by(self.column.desc(), self.ident.desc())
        return query.order_by(self.column.asc(), self.ident.asc())

    def page(self, found: Sequence[Record], window: PageArguments, total: Callable[[], Awaitable[int]]) -> Page:
        more = len(found) > window.size()
        rows = found[: window.size()]
        if window.backward:
            return Page(rows[::-1], self.cursor, window.before is not None, more, total)
        return Page(rows, self.cursor, more, window.after is not None, total)
