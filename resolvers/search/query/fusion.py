"""From what each way of searching found to one page."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

from resolvers.search.query.scope import PER_NOTE, Key

RANK_CONSTANT = 60
"""Of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009), as they measured it."""


def fused(*rankings: Iterable[Key]) -> dict[Key, float]:
    """The score of each chunk that any of the rankings has: the sum of 1 / (RANK_CONSTANT + its rank). Best first."""
    scores: defaultdict[Key, float] = defaultdict(float)
    for ranking in rankings:
        for rank, chunk in enumerate(ranking, start=1):
            scores[chunk] += 1 / (RANK_CONSTANT + rank)
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))


def page(ranked: Sequence[Key], first: int, *, grouped: bool) -> list[Key]:
    """The chunks to show, in the same order. Grouped, PER_NOTE of a note, and more only where other notes have none."""
    if not grouped:
        return list(ranked[:first])
    of_note: Counter[UUID] = Counter()
    place: dict[Key, int] = {}
    for chunk in ranked:
        place[chunk] = of_note[chunk[0]]
        of_note[chunk[0]] += 1
    shown = set(sorted(ranked, key=lambda chunk: place[chunk] >= PER_NOTE)[:first])
    return [chunk for chunk in ranked if chunk in shown]
