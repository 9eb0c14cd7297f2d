"""Pages of lists that many parents have, like the messages of conversations: one statement reads the pages of all."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Subquery,
    Uuid,
    any_,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.sql.selectable import LateralFromClause

from models.base import Record
from resolvers.core.context import Context
from resolvers.core.errors import Problem, not_found
from resolvers.core.pagination import Order, Page, PageArguments

Pages: TypeAlias = Mapping[UUID, Page | Problem]
"""The page of each parent, or why the viewer may not read it."""
Children: TypeAlias = Callable[[ColumnElement[UUID]], Select[Any]]
"""Makes the query for all rows of one parent's list from the column that holds the parent's id."""


@dataclass(frozen=True, slots=True)
class Parents:
    """The parents whose pages are read.

    `query` selects the ids of those that the viewer may read, as `parent_id`; the others are NOT_FOUND as `noun`.
    `gate` gets each selected row, and raises a Problem where the viewer lacks a right to it.
    """

    ids: Sequence[UUID]
    query: Select[*tuple[Any, ...]]
    noun: str
    gate: Callable[[Record], object] | None = None


def any_of(ids: Iterable[UUID]) -> ColumnElement[Any]:
    """For `column == any_of(ids)`. Unlike IN, the statement's text is the same for any number of ids."""
    return any_(literal(list(ids), ARRAY(Uuid())))


def checked_before(ids: Sequence[UUID], noun: str) -> Parents:
    """Parents whose access was checked earlier in the same operation."""
    all_ids = func.unnest(literal(list(ids), ARRAY(Uuid()))).column_valued("parent_id")
    return Parents(ids, select(all_ids.label("parent_id")), noun)


async def read_pages(ctx: Context, parents: Parents, children: Children, order: Order, window: PageArguments) -> Pages:
    """Reads a page of each parent's list in one statement. Their totals are one more, if any is asked for."""
    selected = parents.query.subquery("parents")
    page = order.apply(children(selected.c.parent_id), window).lateral("page")
    async with ctx.read() as tx:
        rows = (await tx.execute(_query(selected, page, order, window))).all()
    totals = Totals(ctx, selected, children)
    by_parent: dict[UUID, Page | Problem] = {}
    for parent_id, group in groupby(rows, lambda row: row.parent_id):
        by_parent[parent_id] = _page(parents, list(group), order, window, totals)
    return {ident: by_parent.get(ident) or not_found(parents.noun, ident) for ident in parents.ids}


def _query(selected: Subquery, page: LateralFromClause, order: Order, window: PageArguments) -> Select[Any]:
    """The rows of all pages, each with its parent's columns. A parent with an empty page has one row without an id."""
    keys = (page.c[order.column.key], page.c[order.ident.key])
    descending = order.descending is not window.backward
    return (
        select(*selected.c, *page.c)
        .select_from(selected)
        .join(page, true(), isouter=True)
        .order_by(selected.c.parent_id, *(key.desc() if descending else key.asc() for key in keys))
    )


def _page(
    parents: Parents, rows: Sequence[Record], order: Order, window: PageArguments, totals: "Totals"
) -> Page | Problem:
    parent = rows[0]
    if parents.gate is not None:
        try:
            parents.gate(parent)
        except Problem as problem:
            return problem
    present = [] if getattr(parent, order.ident.key) is None else rows
    return order.page(present, window, lambda: totals.of(parent.parent_id))


class Totals:
    """Counts the lists of all parents at once when the first total is asked for."""

    def __init__(self, ctx: Context, selected: Subquery, children: Children) -> None:
        self._ctx = ctx
        child = children(selected.c.parent_id).lateral("child")
        joined = select(selected.c.parent_id, func.count()).select_from(selected).join(child, true())
        self._query = joined.group_by(selected.c.parent_id)
        self._counts: Mapping[UUID, int] | None = None
        self._lock = asyncio.Lock()

    async def of(self, parent_id: UUID) -> int:
        # Where the first caller is cancelled, the next one that waits for the lock counts in its place.
        async with self._lock:
            if self._counts is None:
                async with self._ctx.read() as tx:
                    self._counts = {row[0]: row[1] for row in await tx.execute(self._query)}
        return self._counts.get(parent_id, 0)
