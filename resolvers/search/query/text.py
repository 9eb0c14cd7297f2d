"""By words: the chunks that have words of the query, the rarer the better, put in order as BM25 does it.

A chunk's weight is the sum, over the query's words, of idf · tf / (1 - B + B · length / average length). That is BM25
(Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009) with another tf that grows ever
slower with the word's frequency f: 1 + 1/4 + … + 1/f², which Postgres computes. On docstrings both rank equally well.
A chunk knows only a part of what its note is about, so its score has the weight of its note as well, which has of each
word the highest tf of its chunks, and their number as its length (Callan, "Passage-Level Evidence in Document
Retrieval", SIGIR 1994). How common a word is, is counted among what the viewer may see: a score tells nothing of the
notes of others.
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
from resolvers.core.database import Transaction
from resolvers.search.query.scope import DEPTH, Key, Scope, best, key

MAX_TERMS = 16
"""Different words of a query that are looked for: its first ones."""
CANDIDATES = 5_000
"""Chunks that are put in order for one query, about: those that have its rarest words."""
SAMPLE = 2_000
"""Chunks of a large workspace by which it is told how common a word is there."""
B = 0.3
"""How much a long chunk counts less than a short one."""
RANK_OF_ONE = 0.1 / (math.pi**2 / 6)
"""What ts_rank gives for a word that a text has once."""

WORDS = col(DocumentEmbedding.words)
PER_NOTE = func.greatest(col(Note.chunk_count), 1).label("per_note")
# The words of a query as tsqueries, in their order. Quotes and backslashes are doubled as the syntax of queries wants.
# A word is a stop word where `english`, which counts the same positions, has nothing at any of its own.
TERMS = text(
    r"""SELECT ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS term,
    row_number() OVER (ORDER BY positions[1], lexeme) AS position,
    coalesce(positions && (
        SELECT array_agg(one) FROM unnest(to_tsvector('english', :query)) AS english, unnest(english.positions) AS one
    ), false) AS is_significant
    FROM unnest(to_tsvector('caret_stems', :query)) ORDER BY position LIMIT :most"""
)


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the query as a tsquery, how much it counts, and in about how many of the chunks it is."""

    query: str
    idf: float
    chunks: float


def terms_of(query: str) -> Any:
    """The words of a query, as a table of `term`, `position` and `is_significant`: it is no English stop word."""
    terms = TERMS.bindparams(query=query, most=MAX_TERMS)
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


async def by_words(tx: Transaction, scope: Scope, query: str, *, large: bool, grouped: bool) -> list[Record]:
    """Rows of document_id, chunk_index, score: some DEPTH of the chunks with words of the query, best first."""
    found: dict[Key, Record] = {}
    counts = (await tx.execute(counting(scope, query, large=large))).all()
    terms = weighed(counts, sampled=large)
    for match in matches(terms):
        rows = await tx.execute(scoring(scope, match, terms, counts[0], grouped=grouped))
        found |= {key(row): row for row in rows}
        if len(found) >= DEPTH:
            break
    return sorted(found.values(), key=lambda row: (-row.score, row.document_id, row.chunk_index))


def counting(scope: Scope, query: str, *, large: bool) -> Select[Any]:
    """For each word of the query how many chunks have it, of how many that are as long as `average`, with so many
    `per_note`.

    `large`: counted are those that the scope has among SAMPLE chunks of the workspace: the first in the order of their
    fingerprints, which is a fair choice. `last` is the fingerprint where they end.
    """
    terms = terms_of(query)
    if large:
        first = _first(scope)
        sample = select(first.c.words, PER_NOTE).join(Note, col(Note.id) == first.c.document_id).where(*scope.notes)
        last = select(first.c.fingerprint).order_by(first.c.fingerprint.desc()).limit(1)
        ends = [last.scalar_subquery().label("last")]
    else:
        sample, ends = scope.chunks(WORDS, PER_NOTE), []
    seen = sample.subquery("seen")
    counted = select(seen.c.words, func.length(seen.c.words).label("long"), seen.c.per_note).cte("counted")
    # Of a note with ten chunks each is a tenth: so the notes are counted, whichever of their chunks are there.
    notes = func.sum(1 / cast(counted.c.per_note, Float), type_=Float())
    return (
        select(
            cast(terms.c.term, Text).label("term"),
            func.count(counted.c.long).label("chunks"),
            # A sample may have nothing of the scope.
            func.coalesce(func.avg(counted.c.long, type_=Float()), 1.0).label("average"),
            func.coalesce(func.count(counted.c.long) / notes, 1.0).label("per_note"),
            func.count().filter(counted.c.words.op("@@")(terms.c.term)).label("having"),
            *ends,
        )
        .select_from(terms.join(counted, true(), isouter=True))
        .group_by(terms.c.term, terms.c.position)
        .order_by(terms.c.position)
    )


def _first(scope: Scope) -> Any:
    fingerprint = col(DocumentEmbedding.fingerprint)
    mine = select(col(DocumentEmbedding.document_id), fingerprint, WORDS)
    mine = mine.where(col(DocumentEmbedding.workspace_id) == scope.workspace_id)
    return mine.order_by(fingerprint).limit(SAMPLE).cte("first")


def estimated(counts: Sequence[Record]) -> float:
    """For how many chunks of the workspace each of the sample stands.

    Fingerprints are spread evenly: if the sample ends at a tenth of their range, it is a tenth of the chunks.
    """
    return 2**64 / (int.from_bytes(counts[0].last[:8]) + 1)


def weighed(counts: Sequence[Record], *, sampled: bool) -> list[Term]:
    """The words that are there, rarest first. What a sample lacks may be there all the same: it counts as half."""
    each_stands_for = estimated(counts) if sampled and counts and counts[0].last else 1.0
    terms = []
    for count in counts:
        if not count.having and not sampled:
            continue
        idf = math.log(1 + (count.chunks - count.having + 0.5) / (count.having + 0.5))
        terms.append(Term(count.term, idf, max(count.having, 0.5) * each_stands_for))
    return sorted(terms, key=lambda term: term.chunks)


def matches(terms: Sequence[Term]) -> list[str]:
    """Which chunks are looked at, as tsqueries: those with any of the rarest words, as far as these are not too many.

    Where each word is too common, those that have all of them; and if they are too few, some with the rarest.
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


def scoring(scope: Scope, match: str, terms: Sequence[Term], typical: Record, *, grouped: bool) -> Select[Any]:
    """`typical`: the `average` length of a chunk, and how many there are `per_note`."""
    ranks = [
        func.ts_rank(WORDS, cast(literal(term.query, Text()), TSQUERY)).label(f"tf_{number}")
        for number, term in enumerate(terms)
    ]
    chunk = (col(DocumentEmbedding.document_id), col(DocumentEmbedding.chunk_index))
    matching = WORDS.op("@@")(cast(literal(match, Text()), TSQUERY))
    # How many there are is an estimate: the limit holds where it is wrong, and where each word is too common.
    ranked = scope.chunks(*chunk, func.length(WORDS).label("long"), PER_NOTE, *ranks).where(matching).limit(CANDIDATES)
    found = ranked.subquery("ranked")
    own = [found.c[rank.name] for rank in ranks]
    of_note = [func.max(rank).over(partition_by=found.c.document_id) for rank in own]
    score = _weight(terms, own, found.c.long / literal(typical.average, Float()))
    score += _weight(terms, of_note, found.c.per_note / literal(typical.per_note, Float()))
    scored = select(found.c.document_id, found.c.chunk_index, score.label("score")).subquery("scored")
    return best(scored, -scored.c.score, grouped=grouped)


def _weight(
    terms: Sequence[Term], ranks: Sequence[ColumnElement[float]], length: ColumnElement[Any]
) -> ColumnElement[float]:
    """`length` as a multiple of the usual one."""
    weighted = [literal(term.idf / RANK_OF_ONE, Float()) * rank for term, rank in zip(terms, ranks, strict=True)]
    return sum(weighted[1:], weighted[0]) / (1 - B + B * length)
