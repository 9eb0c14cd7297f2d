"""Text search: ranks the chunks that have words of the query by BM25; rare words count more.

A chunk's score is the sum, over the query's words, of idf · tf / (1 - B + B · length / average length). That is BM25
(Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009) with a different tf, which
grows ever slower with the word's frequency f: 1 + 1/4 + … + 1/f², as Postgres computes it. On a benchmark of
docstrings both rank equally well.

A chunk has only a part of its note's subject, so the score of its note is added to its own. For that each word has the
highest tf of the note's chunks, and the length is the number of chunks (Callan, "Passage-Level Evidence in Document
Retrieval", SIGIR 1994). How common a word is, is counted among the chunks that the viewer may read, so a score reveals
nothing about notes of others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Float,
    Select,
    Text,
    cast,
    column,
    func,
    literal,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlmodel import col

from models import DocumentEmbedding, Note
from models.base import Record
from models.limits import limit
from resolvers.core.database import Transaction
from resolvers.search.query.scope import RANKING_DEPTH, ChunkKey, Scope, chunk_key, select_best

MAX_TERMS = limit(
    16, "Different words of a search query", area="Search", beyond="the further words are left out of text search"
)
CANDIDATES = 5_000
"""About how many chunks are ranked for one query: those that have its rarest words."""
SAMPLE = 2_000
"""How many chunks of a large workspace are read to estimate how common a word is there."""
B = 0.3
"""How much less a long chunk counts than a short one."""
RANK_OF_ONE = 0.1 / (math.pi**2 / 6)
"""The ts_rank of a word that a text has once."""

WORDS = col(DocumentEmbedding.words)
CHUNKS_OF_NOTE = func.greatest(col(Note.chunk_count), 1).label("chunks_of_note")
# The words of a query as tsqueries, in their order. Quotes and backslashes are doubled as the syntax of queries wants.
# A word is a stop word where `english`, which counts the same positions, has nothing at any of its own.
TERMS = text(
    r"""SELECT ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS term,
    row_number() OVER (ORDER BY positions[1], lexeme) AS position,
    coalesce(positions && (
        SELECT array_agg(one) FROM unnest(to_tsvector('english', :query)) AS english, unnest(english.positions) AS one
    ), false) AS is_significant
    FROM unnest(to_tsvector('caret_stems', :query)) ORDER BY position LIMIT :max_terms"""
)


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the query as a tsquery, its inverse document frequency, and in about how many chunks it is."""

    query: str
    idf: float
    chunks: float


def terms_of(query: str) -> Any:
    """The words of a query, as a table of `term`, `position` and `is_significant`: it is no English stop word."""
    terms = TERMS.bindparams(query=query, max_terms=MAX_TERMS)
    columns = (column("term", TSQUERY), column("position", BigInteger), column("is_significant", Boolean))
    return terms.columns(*columns).cte("terms")


def highlight_query(query: str) -> ColumnElement[Any]:
    """The tsquery of the words to highlight: any significant one, or any at all where a query has only stop words.

    NULL where the query has no words.
    """
    terms = terms_of(query)
    joined = func.string_agg(cast(terms.c.term, Text), " | ")
    significant = joined.filter(terms.c.is_significant)
    return select(cast(func.coalesce(significant, joined), TSQUERY)).scalar_subquery()


async def rank_by_words(tx: Transaction, scope: Scope, query: str, *, large: bool, grouped: bool) -> list[Record]:
    """About RANKING_DEPTH rows of document_id, chunk_index and score: the chunks that have words of the query."""
    rows: dict[ChunkKey, Record] = {}
    counts = (await tx.execute(count_terms(scope, query, large=large))).all()
    terms = weigh_terms(counts, sampled=large)
    for match in choose_matches(terms):
        scored = await tx.execute(score_chunks(scope, match, terms, counts[0], grouped=grouped))
        rows |= {chunk_key(row): row for row in scored}
        if len(rows) >= RANKING_DEPTH:
            break
    return sorted(rows.values(), key=lambda row: (-row.score, row.document_id, row.chunk_index))


def count_terms(scope: Scope, query: str, *, large: bool) -> Select[Any]:
    """For each word of the query, in how many chunks (`having`) of how many (`chunks`) it is.

    Also `average`, the mean length of a chunk in words, and `chunks_per_note`. `large`: only those chunks of the scope
    are counted that are among SAMPLE chunks of the workspace: the first in the order of their fingerprints, which is a
    fair sample. `last` is the fingerprint at which the sample ends.
    """
    terms = terms_of(query)
    if large:
        first = _sample_chunks(scope)
        sample = select(first.c.words, CHUNKS_OF_NOTE).join(Note, col(Note.id) == first.c.document_id)
        sample = sample.where(*scope.notes)
        last = select(first.c.fingerprint).order_by(first.c.fingerprint.desc()).limit(1)
        extra = [last.scalar_subquery().label("last")]
    else:
        sample, extra = scope.chunks(WORDS, CHUNKS_OF_NOTE), []
    seen = sample.subquery("seen")
    counted = select(seen.c.words, func.length(seen.c.words).label("length"), seen.c.chunks_of_note).cte("counted")
    # Each chunk of a note with ten chunks counts as a tenth of the note, whichever of its chunks are in the sample.
    notes = func.sum(1 / cast(counted.c.chunks_of_note, Float), type_=Float())
    return (
        select(
            cast(terms.c.term, Text).label("term"),
            func.count(counted.c.length).label("chunks"),
            # The sample may have no chunk of the scope.
            func.coalesce(func.avg(counted.c.length, type_=Float()), 1.0).label("average"),
            func.coalesce(func.count(counted.c.length) / notes, 1.0).label("chunks_per_note"),
            func.count().filter(counted.c.words.op("@@")(terms.c.term)).label("having"),
            *extra,
        )
        .select_from(terms.join(counted, true(), isouter=True))
        .group_by(terms.c.term, terms.c.position)
        .order_by(terms.c.position)
    )


def _sample_chunks(scope: Scope) -> Any:
    fingerprint = col(DocumentEmbedding.fingerprint)
    chunks = select(col(DocumentEmbedding.document_id), fingerprint, WORDS)
    chunks = chunks.where(col(DocumentEmbedding.workspace_id) == scope.workspace_id)
    return chunks.order_by(fingerprint).limit(SAMPLE).cte("first")


def estimate_weight(counts: Sequence[Record]) -> float:
    """How many chunks of the workspace each chunk of the sample stands for.

    Fingerprints are distributed evenly: if the sample ends at a tenth of their range, it is a tenth of the chunks.
    """
    return 2**64 / (int.from_bytes(counts[0].last[:8]) + 1)


def weigh_terms(counts: Sequence[Record], *, sampled: bool) -> list[Term]:
    """The words that occur, rarest first. A word that a sample does not have may occur elsewhere: it counts as half."""
    weight = estimate_weight(counts) if sampled and counts and counts[0].last else 1.0
    terms = []
    for count in counts:
        if not count.having and not sampled:
            continue
        idf = math.log(1 + (count.chunks - count.having + 0.5) / (count.having + 0.5))
        terms.append(Term(count.term, idf, max(count.having, 0.5) * weight))
    return sorted(terms, key=lambda term: term.chunks)


def choose_matches(terms: Sequence[Term]) -> list[str]:
    """Which chunks are ranked, as tsqueries: those with any of the rarest words, up to about CANDIDATES chunks.

    If every word is too common, first the chunks that have all of them, and if these are too few, some with the rarest.
    """
    rare: list[str] = []
    chunks = 0.0
    for term in terms:
        chunks += term.chunks
        if chunks <= CANDIDATES:
            rare.append(term.query)
    if rare or not terms:
        return [" | ".join(rare)] if rare else []
    return list(dict.fromkeys([" & ".join(term.query for term in terms), terms[0].query]))


def score_chunks(scope: Scope, match: str, terms: Sequence[Term], counts: Record, *, grouped: bool) -> Select[Any]:
    """The best chunks that fulfil the tsquery `match`. `counts` has the `average` length and `chunks_per_note`."""
    ranks = [
        func.ts_rank(WORDS, cast(literal(term.query, Text()), TSQUERY)).label(f"tf_{number}")
        for number, term in enumerate(terms)
    ]
    key = (col(DocumentEmbedding.document_id), col(DocumentEmbedding.chunk_index))
    is_match = WORDS.op("@@")(cast(literal(match, Text()), TSQUERY))
    # How many chunks match is an estimate, so the limit is needed; also if every word is too common.
    candidates = scope.chunks(*key, func.length(WORDS).label("length"), CHUNKS_OF_NOTE, *ranks).where(is_match)
    ranked = candidates.limit(CANDIDATES).subquery("ranked")
    of_chunk = [ranked.c[rank.name] for rank in ranks]
    of_note = [func.max(rank).over(partition_by=ranked.c.document_id) for rank in of_chunk]
    score = _bm25(terms, of_chunk, ranked.c.length / literal(counts.average, Float()))
    score += _bm25(terms, of_note, ranked.c.chunks_of_note / literal(counts.chunks_per_note, Float()))
    scored = select(ranked.c.document_id, ranked.c.chunk_index, score.label("score")).subquery("scored")
    return select_best(scored, -scored.c.score, grouped=grouped)


def _bm25(
    terms: Sequence[Term], ranks: Sequence[ColumnElement[float]], length: ColumnElement[Any]
) -> ColumnElement[float]:
    """`length` is a multiple of the average one."""
    weighted = [literal(term.idf / RANK_OF_ONE, Float()) * rank for term, rank in zip(terms, ranks, strict=True)]
    return sum(weighted[1:], weighted[0]) / (1 - B + B * length)
