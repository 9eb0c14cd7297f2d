"""Keyset pagination: stable while rows are inserted, and as quick on page 1,000 as on the first.

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
from models.limits import limit
from resolvers.core import cursors
from resolvers.core.context import Context
from resolvers.core.errors import bad_input

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = limit(
    100, "`first`, `last` and `limit` of a list", area="Lists", minimum=1, beyond="`BAD_USER_INPUT`, 400"
)

# What a column of each type can hold: a forged cursor must not reach the database with anything else.
SORT_KEYS: dict[type, TypeAdapter[Any]] = {
    datetime: TypeAdapter(When),
    str: TypeAdapter(Prose),
    int: TypeAdapter(Annotated[int, Field(ge=-(2**31), lt=2**31)]),
}


@dataclass(frozen=True, slots=True)
class PageArguments:
    """The part of a list to read: the `first` rows after a cursor, or the `last` rows before one."""

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
    """Raises BAD_USER_INPUT for a limit or an offset out of bounds, for lists that are paged by offset."""
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
    """Counts all rows of the list; it runs only if the caller selects the total."""


async def count(ctx: Context, query: Select[Any]) -> int:
    """The number of rows of a query."""
    async with ctx.read() as tx:
        return int((await tx.execute(select(func.count()).select_from(query.subquery()))).scalar_one())


@dataclass(frozen=True, slots=True)
class Order:
    """A total order by a column and then by id. `kind` is part of its cursors, so that no other list accepts them."""

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
            return SORT_KEYS[kind].validate_python(value), ident
        except ValidationError:
            raise cursors.invalid(field) from None

    def apply(self, query: Select[Any], window: PageArguments) -> Select[Any]:
        """The query for the page's rows and one more, which shows whether there is another page."""
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

    def page(self, records: Sequence[Record], window: PageArguments, total: Callable[[], Awaitable[int]]) -> Page:
        has_more = len(records) > window.size()
        rows = records[: window.size()]
        if window.backward:
            return Page(rows[::-1], self.cursor, window.before is not None, has_more, total)
        return Page(rows, self.cursor, has_more, window.after is not None, total)
