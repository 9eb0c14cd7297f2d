"""Reads what a search returns of each chunk."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Float, Select, case, cast, func, literal_column, null, tuple_
from sqlmodel import col

from models import DocumentEmbedding, Note
from models.search import TextSource
from resolvers.core.database import Transaction
from resolvers.search.query.highlights import END, OPTIONS, STAND_IN, START, render_highlight
from resolvers.search.query.scope import ChunkKey, Scope
from resolvers.search.query.semantic import QueryVector
from resolvers.search.query.text import highlight_query


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk in a search result.

    `start_offset` and `end_offset` are positions in the text of `source` as it was indexed, in characters. `similarity`
    is max(0, 1 - cosine distance), None if the query or the chunk has no vector. `highlight` is HTML, None if the chunk
    has no word to mark.
    """

    document_id: UUID
    workspace_id: UUID
    chunk_index: int
    chunk_text: str
    document_title: str
    source: TextSource
    start_offset: int
    end_offset: int
    score: float
    similarity: float | None
    highlight: str | None


async def read_hits(
    tx: Transaction, scope: Scope, chunks: Collection[ChunkKey], query: str, vectors: Sequence[QueryVector]
) -> dict[ChunkKey, dict[str, Any]]:
    """The attributes of the hits without their scores, by chunk."""
    if not chunks:
        return {}
    hits: dict[ChunkKey, dict[str, Any]] = {}
    for row in await tx.execute(_hits_query(scope, chunks, query, vectors)):
        values = row._asdict()
        values["highlight"] = render_highlight(row.chunk_text, values.pop("marked"))
        hits[row.document_id, row.chunk_index] = values
    return hits


def _hits_query(scope: Scope, chunks: Collection[ChunkKey], query: str, vectors: Sequence[QueryVector]) -> Select[Any]:
    stored: tuple[Any, ...] = (
        col(DocumentEmbedding.document_id),
        col(DocumentEmbedding.workspace_id),
        col(DocumentEmbedding.chunk_index),
        col(DocumentEmbedding.chunk_text),
        col(DocumentEmbedding.source),
        col(DocumentEmbedding.start_offset),
        col(DocumentEmbedding.end_offset),
        col(Note.title).label("document_title"),
    )
    text = func.translate(col(DocumentEmbedding.chunk_text), START + END, STAND_IN)
    marked = func.ts_headline(literal_column("'caret_stems'::regconfig"), text, highlight_query(query), OPTIONS)
    key = tuple_(col(DocumentEmbedding.document_id), col(DocumentEmbedding.chunk_index))
    computed = (_similarity(vectors).label("similarity"), marked.label("marked"))
    return scope.chunks(*stored, *computed).where(key.in_(list(chunks)))


def _similarity(vectors: Sequence[QueryVector]) -> ColumnElement[Any]:
    """The similarity to the query in the chunk's own vector space."""
    by_space = [(col(Note.embedder) == vector.identity, 1 - vector.distance) for vector in vectors]
    if not by_space:
        return cast(null(), Float())
    similarity = case(*by_space, else_=null())
    # Not greatest(): that would turn NULL into 0.
    return case((similarity < 0, 0.0), else_=similarity)
