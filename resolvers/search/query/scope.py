"""Which chunks a search is limited to, and whether they are few enough to be compared one by one."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Subquery, func, literal_column, select
from sqlmodel import col

from models import DocumentEmbedding, Note
from models.base import Record
from models.limits import limit
from resolvers.core.database import Transaction

MAX_HITS = limit(20, "Hits of a search", area="Search", beyond="`BAD_USER_INPUT`, 400", minimum=1)
MAX_HITS_PER_NOTE = limit(
    3, "Hits of one note in a search while other notes have hits", area="Search", beyond="hits of other notes instead"
)
RANKING_DEPTH = 50
"""How many chunks each ranking has. Where two are fused, 20 to 50 were measured to rank best."""
INDEX_BREAK_EVEN = 300
"""If n of all `total` chunks are in scope, comparing each of them costs as much as using the vector index when
n² = INDEX_BREAK_EVEN · total.

Measured at 100,000 chunks of 1,536 dimensions: a comparison takes about 4 µs, one visited by the index about 24 µs.
The index visits RANKING_DEPTH · total / n chunks until RANKING_DEPTH of them have passed the filter.
"""
MIN_TOTAL_CHUNKS = 30_000
"""The least that `total` counts as: 3,000 chunks are compared in 12 ms, and a comparison never misses one."""

ChunkKey = tuple[UUID, int]
"""A chunk: its note's id and its index in the note."""


def chunk_key(row: Record) -> ChunkKey:
    return row.document_id, row.chunk_index


@dataclass(frozen=True, slots=True)
class Scope:
    """The chunks of the notes of one workspace that fulfil the conditions `notes`."""

    workspace_id: UUID
    notes: tuple[ColumnElement[bool], ...]

    def within(self, *conditions: ColumnElement[bool]) -> "Scope":
        """The part of the scope that fulfils more conditions."""
        return replace(self, notes=(*self.notes, *conditions))

    def chunks(self, *columns: Any) -> Select[Any]:
        """A query for columns of the chunks, joined with their notes."""
        query: Select[Any] = select(*columns).select_from(DocumentEmbedding)
        query = query.join(Note, col(Note.id) == col(DocumentEmbedding.document_id))
        return query.where(col(DocumentEmbedding.workspace_id) == self.workspace_id, *self.notes)


async def is_large(tx: Transaction, scope: Scope) -> bool:
    """Whether the scope has more chunks than should be compared one by one. Stops counting when that is certain."""
    running_total = func.sum(col(Note.chunk_count)).over(rows=(None, 0)).label("running_total")
    in_scope = (col(Note.workspace_id) == scope.workspace_id, col(Note.chunk_count) > 0, *scope.notes)
    totals = select(running_total).where(*in_scope).subquery()
    estimate: ColumnElement[float] = literal_column(
        "(SELECT reltuples FROM pg_class WHERE oid = 'document_embeddings'::regclass)"
    )
    bound = func.sqrt(INDEX_BREAK_EVEN * func.greatest(estimate, MIN_TOTAL_CHUNKS))
    exceeding = select(totals.c.running_total).where(totals.c.running_total > bound).limit(1)
    return (await tx.execute(exceeding)).first() is not None


def select_best(candidates: Subquery, by: ColumnElement[Any], *, grouped: bool) -> Select[Any]:
    """The first RANKING_DEPTH of the candidate chunks, in the order of `by`.

    Grouped, the chunks of a note beyond MAX_HITS_PER_NOTE come after those of all other notes.
    """
    order = (by, candidates.c.document_id, candidates.c.chunk_index)
    if not grouped:
        return select(candidates).order_by(*order).limit(RANKING_DEPTH)
    order_in_note = (by, candidates.c.chunk_index)
    rank_in_note = func.row_number().over(partition_by=candidates.c.document_id, order_by=order_in_note)
    ranked = select(candidates, by.label("rank_by"), rank_in_note.label("rank_in_note")).subquery()
    is_beyond = ranked.c.rank_in_note > MAX_HITS_PER_NOTE
    order_by = (is_beyond, ranked.c.rank_by, ranked.c.document_id, ranked.c.chunk_index)
    return select(ranked).order_by(*order_by).limit(RANKING_DEPTH)
