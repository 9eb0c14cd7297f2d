"""Semantic search: ranks chunks by the distance of their vectors to the query's, each in its own vector space."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import structlog
from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import BindParameter, ColumnElement, Float, Select, bindparam, cast, func, select, text
from sqlmodel import col

from models import DocumentEmbedding, Note, VectorSpace
from models.base import Record
from models.search import DIMENSIONS
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.ports.ai import Embedder, EmbedderMisconfigured, EmbedderUnavailable, Vector
from resolvers.search.query.scope import (
    MAX_HITS,
    MAX_HITS_PER_NOTE,
    RANKING_DEPTH,
    ChunkKey,
    Scope,
    chunk_key,
    is_large,
    select_best,
)

log = structlog.get_logger()

DEEP_LIMIT = 10 * RANKING_DEPTH
"""How many chunks are read before they are grouped, if a few notes have nearly all of the first RANKING_DEPTH."""
EMBEDDING = col(DocumentEmbedding.embedding)


@dataclass(frozen=True)
class QueryVector:
    """The query as a vector of the space that `identity` names."""

    identity: str
    vector: Vector

    @cached_property
    def _parameter(self) -> BindParameter[Vector]:
        # One parameter, so that a statement which uses it twice sends it once.
        return bindparam(None, self.vector, VECTOR(DIMENSIONS))

    @property
    def distance(self) -> ColumnElement[float]:
        """The cosine distance of a chunk, which must be of this space."""
        return EMBEDDING.op("<=>", return_type=Float())(self._parameter)

    @property
    def half_precision_distance(self) -> ColumnElement[float]:
        """The same distance in half precision, as the vector index has it."""
        half_precision = HALFVEC(DIMENSIONS)
        parameter = cast(self._parameter, half_precision)
        return cast(EMBEDDING, half_precision).op("<=>", return_type=Float())(parameter)


async def read_vector_spaces(ctx: Context, tx: Transaction) -> list[str]:
    """The identities of the embedders that may have made vectors; the configured one is the first."""
    configured = ctx.embedder.identity
    stored = (await tx.execute(select(col(VectorSpace.identity)))).scalars()
    return [configured, *(identity for identity in stored if identity != configured)]


async def embed_query_in_spaces(
    ctx: Context, query: str, identities: Iterable[str], *, required: bool
) -> list[QueryVector]:
    """The query in each vector space whose embedder is available.

    Notes of the other spaces can be found only by their words. `required`: raises UNAVAILABLE if the configured
    embedder fails.
    """
    configured = ctx.embedder
    others = (ctx.embedders.get(identity) for identity in identities if identity != configured.identity)
    embedders = [configured, *(embedder for embedder in others if embedder is not None)]
    results = await asyncio.gather(*(_embed_query(embedder, query) for embedder in embedders))
    failures = {
        embedder.identity: result
        for embedder, result in zip(embedders, results, strict=True)
        if isinstance(result, Exception)
    }
    if required and configured.identity in failures:
        raise _unavailable(failures[configured.identity]) from failures[configured.identity]
    if failures:
        log.warning("search.embedder_failed", embedders={name: str(failure) for name, failure in failures.items()})
    return [
        QueryVector(embedder.identity, result)
        for embedder, result in zip(embedders, results, strict=True)
        if not isinstance(result, Exception)
    ]


async def _embed_query(embedder: Embedder, query: str) -> Vector | EmbedderUnavailable | EmbedderMisconfigured:
    try:
        return await embedder.embed_query(query)
    except (EmbedderUnavailable, EmbedderMisconfigured) as error:
        return error


def _unavailable(error: Exception) -> Problem:
    seconds = getattr(error, "retry_after", None)
    message = "The embedding provider is unavailable."
    return Problem(ErrorCode.UNAVAILABLE, message, retry_after=None if seconds is None else int(seconds) + 1)


async def rank_by_meaning(
    tx: Transaction, scope: Scope, vectors: Sequence[QueryVector], *, large: bool, grouped: bool
) -> list[ChunkKey]:
    """The chunks of all spaces, nearest first. Distances of different spaces are compared as if they were of one.

    `large`: the scope has more chunks than should be compared one by one.
    """
    rows: list[Any] = []
    for vector in vectors:
        in_space = scope.within(col(Note.embedder) == vector.identity)
        use_index = large and (len(vectors) == 1 or await is_large(tx, in_space))
        rows += await find_nearest(tx, in_space, vector, large=use_index, grouped=grouped)
    return [chunk_key(row) for row in sorted(rows, key=lambda row: (row.distance, *chunk_key(row)))]


async def find_nearest(
    tx: Transaction, scope: Scope, vector: QueryVector, *, large: bool, grouped: bool
) -> Sequence[Record]:
    """Up to RANKING_DEPTH rows of document_id, chunk_index and distance: the nearest chunks of a scope in one space.

    `large`: the vector index is used. If it ends before there are enough chunks of enough notes, all are compared after
    all, so neither a filter nor a note with many similar chunks costs results.
    """
    key = (col(DocumentEmbedding.document_id), col(DocumentEmbedding.chunk_index))
    chunks = scope.chunks(*key, vector.distance.label("distance"))
    if large:
        async with _only_index_order(tx):
            # The index's order is that of half-precision distances; the rows are sorted by exact distance afterwards.
            ordered = chunks.order_by(vector.half_precision_distance)
            rows = await _read_nearest(tx, ordered, (RANKING_DEPTH, DEEP_LIMIT), grouped=grouped)
        is_complete = len(rows) == RANKING_DEPTH
        if is_complete and (not grouped or _fills_page(rows) or rows[0].seen == DEEP_LIMIT):
            return rows
    with_vector = chunks.where(EMBEDDING.is_not(None)).order_by(vector.distance)
    return await _read_nearest(tx, with_vector, (DEEP_LIMIT, None), grouped=grouped)


@asynccontextmanager
async def _only_index_order(tx: Transaction) -> AsyncIterator[None]:
    """Makes Postgres use the vector index for ordering.

    Postgres assumes that comparing vectors is as cheap as comparing numbers: it would compare and sort 10,000 chunks in
    200 ms instead of using the index, which takes 10 ms.
    """
    await tx.execute(text("SET LOCAL enable_sort = off"))
    yield
    await tx.execute(text("SET LOCAL enable_sort = on"))


async def _read_nearest(
    tx: Transaction, chunks: Select[Any], limits: Iterable[int | None], *, grouped: bool
) -> Sequence[Record]:
    """The first RANKING_DEPTH of the nearest chunks; `seen` is how many were read.

    Grouped, the next of the limits is tried if a few notes have nearly all chunks.
    """
    rows: Sequence[Record] = ()
    for limit in limits:
        nearest = chunks.limit(limit).subquery()
        counted = select(nearest, func.count().over().label("seen")).subquery()
        rows = (await tx.execute(select_best(counted, counted.c.distance, grouped=grouped))).all()
        if not grouped or len(rows) < RANKING_DEPTH or _fills_page(rows):
            break
    return rows


def _fills_page(rows: Sequence[Record]) -> bool:
    """Whether a page can be filled without more than MAX_HITS_PER_NOTE chunks of a note."""
    return sum(1 for row in rows if row.rank_in_note <= MAX_HITS_PER_NOTE) >= MAX_HITS
