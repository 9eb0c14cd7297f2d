"""Fuses rankings of chunks, and selects the page to return."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

from resolvers.search.query.scope import MAX_HITS_PER_NOTE, ChunkKey

RANK_CONSTANT = 60
"""The constant of reciprocal rank fusion that Cormack, Clarke and Büttcher measured to be best (SIGIR 2009)."""


def fuse_rankings(*rankings: Iterable[ChunkKey]) -> dict[ChunkKey, float]:
    """The chunks of all rankings with their scores, best first: the sum of 1 / (RANK_CONSTANT + rank)."""
    scores: defaultdict[ChunkKey, float] = defaultdict(float)
    for ranking in rankings:
        for rank, chunk in enumerate(ranking, start=1):
            scores[chunk] += 1 / (RANK_CONSTANT + rank)
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))


def select_page(ranked: Sequence[ChunkKey], first: int, *, grouped: bool) -> list[ChunkKey]:
    """The chunks to return, in the order of `ranked`.

    Grouped, they are at most MAX_HITS_PER_NOTE of each note, and more only if the other notes have none left.
    """
    if not grouped:
        return list(ranked[:first])
    chunks_of_note: Counter[UUID] = Counter()
    rank_in_note: dict[ChunkKey, int] = {}
    for chunk in ranked:
        rank_in_note[chunk] = chunks_of_note[chunk[0]]
        chunks_of_note[chunk[0]] += 1
    selected = set(sorted(ranked, key=lambda chunk: rank_in_note[chunk] >= MAX_HITS_PER_NOTE)[:first])
    return [chunk for chunk in ranked if chunk in selected]
