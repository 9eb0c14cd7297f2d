"""By meaning: the chunks whose vectors are nearest to the query's, each in the space of its own embedder."""

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
from resolvers.search.query.scope import DEPTH, MAX_HITS, PER_NOTE, Key, Scope, best, is_large, key

log = structlog.get_logger()

DEEPER = 10 * DEPTH
"""Chunks that are taken before they are grouped, where a few notes have nearly all of the first DEPTH."""
EMBEDDING = col(DocumentEmbedding.embedding)


@dataclass(frozen=True)
class Question:
    """The query as a vector of the space that `identity` names."""

    identity: str
    vector: Vector

    @cached_property
    def _sent(self) -> BindParameter[Vector]:
        # One parameter, so that a statement which needs it twice sends it once.
        return bindparam(None, self.vector, VECTOR(DIMENSIONS))

    @property
    def distance(self) -> ColumnElement[float]:
        """The cosine distance of a chunk, which must be of this space."""
        return EMBEDDING.op("<=>", return_type=Float())(self._sent)

    @property
    def rough_distance(self) -> ColumnElement[float]:
        """The same in half the precision, as the index of meanings has it."""
        rough = HALFVEC(DIMENSIONS)
        return cast(EMBEDDING, rough).op("<=>", return_type=Float())(cast(self._sent, rough))


async def spaces(ctx: Context, tx: Transaction) -> list[str]:
    """The identities of the embedders whose vectors may be there; the configured one's is the first."""
    own = ctx.embedder.identity
    known = (await tx.execute(select(col(VectorSpace.identity)))).scalars()
    return [own, *(identity for identity in known if identity != own)]


async def asked(ctx: Context, query: str, identities: Iterable[str], *, needed: bool) -> list[Question]:
    """The query in each space whose embedder can be had, but for those that fail.

    The notes of the other spaces are found by their words. `needed`: raises UNAVAILABLE where the configured embedder
    fails.
    """
    own = ctx.embedder
    others = (ctx.embedders.of(identity) for identity in identities if identity != own.identity)
    embedders = [own, *(embedder for embedder in others if embedder is not None)]
    answers = await asyncio.gather(*(_vector(embedder, query) for embedder in embedders))
    failures = {
        embedder.identity: answer
        for embedder, answer in zip(embedders, answers, strict=True)
        if isinstance(answer, Exception)
    }
    if needed and own.identity in failures:
        raise unavailable(failures[own.identity]) from failures[own.identity]
    if failures:
        log.warning("search.embedder_failed", embedders={name: str(failure) for name, failure in failures.items()})
    return [
        Question(embedder.identity, answer)
        for embedder, answer in zip(embedders, answers, strict=True)
        if not isinstance(answer, Exception)
    ]


async def _vector(embedder: Embedder, query: str) -> Vector | EmbedderUnavailable | EmbedderMisconfigured:
    try:
        return await embedder.embed_query(query)
    except (EmbedderUnavailable, EmbedderMisconfigured) as error:
        return error


def unavailable(error: Exception) -> Problem:
    wait = getattr(error, "retry_after", None)
    told = "The embedding provider is unavailable."
    return Problem(ErrorCode.UNAVAILABLE, told, retry_after=None if wait is None else int(wait) + 1)


async def by_meaning(
    tx: Transaction, scope: Scope, questions: Sequence[Question], *, large: bool, grouped: bool
) -> list[Key]:
    """The chunks of all spaces, nearest first, as if a distance meant the same in each: no more is known of them.

    `large`: the scope has more chunks than should be compared one by one.
    """
    found: list[Any] = []
    for question in questions:
        here = scope.within(col(Note.embedder) == question.identity)
        many = large and (len(questions) == 1 or await is_large(tx, here))
        found += await nearest(tx, here, question, large=many, grouped=grouped)
    return [key(row) for row in sorted(found, key=lambda row: (row.distance, *key(row)))]


async def nearest(tx: Transaction, here: Scope, question: Question, *, large: bool, grouped: bool) -> Sequence[Record]:
    """Up to DEPTH rows of document_id, chunk_index, distance: the nearest of the chunks, which are all of one space.

    `large`: the index is asked. Where it ends before there are enough, of enough notes, each is compared after all:
    neither a filter nor a note with many like chunks costs results.
    """
    near = _with_distance(here, question)
    if large:
        async with _by_index(tx):
            # It gives them nearly in order, as it knows rough distances: what it finds is put in order afterwards.
            found = await _first(tx, near.order_by(question.rough_distance), (DEPTH, DEEPER), grouped=grouped)
        if len(found) == DEPTH and (not grouped or _is_page(found) or found[0].seen == DEEPER):
            return found
    present = near.where(EMBEDDING.is_not(None)).order_by(question.distance)
    return await _first(tx, present, (DEEPER, None), grouped=grouped)


@asynccontextmanager
async def _by_index(tx: Transaction) -> AsyncIterator[None]:
    """Nothing but the index gives an order meanwhile.

    Postgres thinks a comparison as cheap as that of two numbers: it would rather compare and sort 10,000 chunks, in
    200 ms, than ask the index, in 10.
    """
    await tx.execute(text("SET LOCAL enable_sort = off"))
    yield
    await tx.execute(text("SET LOCAL enable_sort = on"))


async def _first(
    tx: Transaction, near: Select[Any], depths: Iterable[int | None], *, grouped: bool
) -> Sequence[Record]:
    """The first DEPTH of so many of the nearest (`seen`). Grouped, the next depth is tried where a few notes have
    nearly all."""
    found: Sequence[Record] = ()
    for depth in depths:
        nearest = near.limit(depth).subquery()
        counted = select(nearest, func.count().over().label("seen")).subquery()
        found = (await tx.execute(best(counted, counted.c.distance, grouped=grouped))).all()
        if not grouped or len(found) < DEPTH or _is_page(found):
            break
    return found


def _is_page(found: Sequence[Record]) -> bool:
    """Whether a page can be filled without more than PER_NOTE chunks of a note."""
    return sum(1 for row in found if row.place <= PER_NOTE) >= MAX_HITS


def _with_distance(here: Scope, question: Question) -> Select[Any]:
    chunk = (col(DocumentEmbedding.document_id), col(DocumentEmbedding.chunk_index))
    return here.chunks(*chunk, question.distance.label("distance"))
