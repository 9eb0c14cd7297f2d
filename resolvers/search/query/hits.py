"""What is shown of the chunks that were found."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Float, Select, case, cast, func, literal_column, null, tuple_
from sqlmodel import col

from models import DocumentEmbedding, Note
from models.search import Source
from resolvers.core.database import Transaction
from resolvers.search.query.highlights import END, OPTIONS, STAND_IN, START, highlighted
from resolvers.search.query.scope import Key, Scope
from resolvers.search.query.semantic import Question
from resolvers.search.query.text import highlight_query


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found.

    `start_offset` and `end_offset` are characters of `source` as it was indexed; `similarity` is max(0, 1 - cosine
    distance), None where the query or the chunk has no vector; `highlight` is HTML, None without a word of the query.
    """

    document_id: UUID
    workspace_id: UUID
    chunk_index: int
    chunk_text: str
    document_title: str
    source: Source
    start_offset: int
    end_offset: int
    score: float
    similarity: float | None
    highlight: str | None


async def read(
    tx: Transaction, scope: Scope, chunks: Collection[Key], query: str, questions: Sequence[Question]
) -> dict[Key, dict[str, Any]]:
    """The hits without their scores, by chunk."""
    if not chunks:
        return {}
    found: dict[Key, dict[str, Any]] = {}
    for row in await tx.execute(shown(scope, chunks, query, questions)):
        values = row._asdict()
        values["highlight"] = highlighted(row.chunk_text, values.pop("marked"))
        found[row.document_id, row.chunk_index] = values
    return found


def shown(scope: Scope, chunks: Collection[Key], query: str, questions: Sequence[Question]) -> Select[Any]:
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
    marked = func.ts_headline(literal_column("'caret_stems'::regconfig"), text, highlight_query(query), OPTIONS).label(
        "marked"
    )
    place = tuple_(col(DocumentEmbedding.document_id), col(DocumentEmbedding.chunk_index))
    return scope.chunks(*stored, similarity(questions).label("similarity"), marked).where(place.in_(list(chunks)))


def similarity(questions: Sequence[Question]) -> ColumnElement[Any]:
    """To the query in the chunk's own space."""
    own = [(col(Note.embedder) == question.identity, 1 - question.distance) for question in questions]
    if not own:
        return cast(null(), Float())
    near = case(*own, else_=null())
    # Unlike these, greatest passes over a NULL.
    return case((near < 0, 0.0), else_=near)
