"""Divides a text at its strongest breaks, so that a change moves the cuts near it and no others.

Cutting from the front would move every later cut. Here every break that is stronger than all around it is a cut. The
text right beside a break alone tells how strong it is, so a change moves at most the nearest cut on either side. A part
that is still too long is cut at its strongest break, and so on. This is content-defined chunking (Muthitacharoen, Chen,
Mazières: A Low-bandwidth Network File System, SOSP 2001) by local maxima (Bjørner, Blass, Gurevich: Content-dependent
chunking for differential compression, the local maximum approach, 2010).
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from itertools import pairwise
from zlib import crc32

NEAR = 16
"""Characters before and after a break that tell its strength among the breaks of its kind."""
AROUND = 0.25
"""Of the room: as far on either side a break is compared with others. Wider makes longer parts, and moves more cuts."""
SHORTEST_PART = 0.3
"""Of the room: a part that is too long is not cut nearer to its ends, where it can be cut elsewhere."""


def divided(text: str, breaks: Sequence[tuple[int, int]], start: int, end: int, room: int) -> list[int]:
    """The cuts that leave no part between `start` and `end` longer than the room, as far as there are breaks.

    `breaks`: the place and the kind of each between them, in order of their places.
    """
    if end - start <= room:
        return []
    ordered = _strongest_first(text, breaks)
    edges = [start, *_crests(ordered, start, end, int(AROUND * room)), end]
    shortest = int(SHORTEST_PART * room)
    for at in ordered:
        place = bisect_left(edges, at)
        before, after = edges[place - 1], edges[place]
        if after - before > room and at - before >= shortest and after - at >= shortest:
            edges.insert(place, at)
    places = [at for at, _ in breaks]
    for before, after in pairwise(tuple(edges)):
        for at in _halved(text, places, before, after, room):
            insort(edges, at)
    return edges[1:-1]


def _strongest_first(text: str, breaks: Sequence[tuple[int, int]]) -> list[int]:
    def strength(one: tuple[int, int]) -> int:
        at, kind = one
        # A difference: another sentence makes one of its two breaks weaker and the other stronger, seldom both cuts.
        return (kind << 34) + crc32(text[at : at + NEAR].encode()) - crc32(text[max(at - NEAR, 0) : at].encode())

    return [at for at, _ in sorted(breaks, key=strength, reverse=True)]


def _crests(ordered: Sequence[int], start: int, end: int, around: int) -> list[int]:
    """The breaks, in order, that have no stronger one, nor an end of the text, within `around` characters."""
    crests = []
    stronger: dict[int, tuple[int, int]] = {}  # The first and the last so far in each stretch of `around` characters.
    for at in ordered:
        stretch = at // around
        last = stronger.get(stretch - 1, (0, start))[1]
        first = stronger.get(stretch + 1, (end, 0))[0]
        here = stronger.get(stretch)
        if here is None and at - max(last, start) > around and min(first, end) - at > around:
            crests.append(at)
        stronger[stretch] = (min(here[0], at), max(here[1], at)) if here else (at, at)
    return sorted(crests)


def _halved(text: str, places: Sequence[int], start: int, end: int, room: int) -> Iterator[int]:
    """The break nearest to the middle of a part that is still too long, as often as need be."""
    parts = [(start, end)]
    while parts:
        start, end = parts.pop()
        first, last = bisect_left(places, start + 1), bisect_left(places, end)
        if first < last and len(text[start:end].strip()) > room:
            at = min(places[first:last], key=lambda place: abs(2 * place - start - end))
            yield at
            parts += [(start, at), (at, end)]
