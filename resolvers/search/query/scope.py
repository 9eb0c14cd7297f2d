"""Which chunks a search is among, and whether they are few enough to be compared one by one."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Subquery, func, literal_column, select
from sqlmodel import col

from models import DocumentEmbedding, Note
from models.base import Record
from resolvers.core.database import Transaction

MAX_HITS = 20
"""Chunks on a page."""
PER_NOTE = 3
"""Chunks of one note on a page, as long as other notes have hits."""
DEPTH = 50
"""Chunks that each way of searching puts in order. Where two are fused, 20 to 50 were measured to rank best."""
BREAK_EVEN = 300
"""Where n of all `total` chunks are to be searched, comparing each of them costs as much as asking the index when
n² = BREAK_EVEN · total.

Measured at 100,000 chunks of 1,536 dimensions: each comparison takes about 4 µs, each chunk that the index visits about
24 µs, and it visits DEPTH · total / n of them until DEPTH have passed the filter.
"""
LEAST_TOTAL = 30_000
"""Fewer chunks than these in all count as these: 3,000 are compared in 12 ms, and comparing never misses one."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The chunks of one workspace whose notes fulfil `notes`."""

    workspace_id: UUID
    notes: tuple[ColumnElement[bool], ...]

    def within(self, *more: ColumnElement[bool]) -> "Scope":
        return replace(self, notes=(*self.notes, *more))

    def chunks(self, *columns: Any) -> Select[Any]:
        """The columns of the chunks, which are joined with their notes."""
        joined: Select[Any] = select(*columns).select_from(DocumentEmbedding)
        joined = joined.join(Note, col(Note.id) == col(DocumentEmbedding.document_id))
        return joined.where(col(DocumentEmbedding.workspace_id) == self.workspace_id, *self.notes)


async def is_large(tx: Transaction, scope: Scope) -> bool:
    """Whether there are more chunks than should be compared one by one. Stops counting where that is clear."""
    counted = func.sum(col(Note.chunk_count)).over(rows=(None, 0)).label("so_far")
    mine = (col(Note.workspace_id) == scope.workspace_id, col(Note.chunk_count) > 0, *scope.notes)
    running = select(counted).where(*mine).subquery()
    estimate: ColumnElement[float] = literal_column(
        "(SELECT reltuples FROM pg_class WHERE oid = 'document_embeddings'::regclass)"
    )
    bound = func.sqrt(BREAK_EVEN * func.greatest(estimate, LEAST_TOTAL))
    return (await tx.execute(select(running.c.so_far).where(running.c.so_far > bound).limit(1))).first() is not None


def best(found: Subquery, by: ColumnElement[Any], *, grouped: bool) -> Select[Any]:
    """The first DEPTH of the chunks found, in the order of `by`.

    Grouped, those beyond PER_NOTE of a note come only after those of all other notes.
    """
    order = (by, found.c.document_id, found.c.chunk_index)
    if not grouped:
        return select(found).order_by(*order).limit(DEPTH)
    within = (by, found.c.chunk_index)
    place = func.row_number().over(partition_by=found.c.document_id, order_by=within).label("place")
    ranked = select(found, by.label("rank_by"), place).subquery()
    in_turn = (ranked.c.place > PER_NOTE, ranked.c.rank_by, ranked.c.document_id, ranked.c.chunk_index)
    return select(ranked).order_by(*in_turn).limit(DEPTH)


Key = tuple[UUID, int]
"""A chunk: its note's id and its index there."""


def key(row: Record) -> Key:
    return row.document_id, row.chunk_index
