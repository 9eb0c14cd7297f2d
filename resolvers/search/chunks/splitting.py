"""Cuts a text at its strongest breaks, so that a change moves only the cuts near it.

Cutting from the front would move every later cut. Instead each break that is stronger than all others around it is a
cut. The strength of a break depends only on the text right beside it, so a change moves at most the nearest cut on
either side. A part that is still too long is cut at its strongest break, and so on. This is content-defined chunking
(Muthitacharoen, Chen, Mazières: A Low-bandwidth Network File System, SOSP 2001) by local maxima (Bjørner, Blass,
Gurevich: Content-dependent chunking for differential compression, the local maximum approach, 2010).
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from itertools import pairwise
from zlib import crc32

CONTEXT_CHARACTERS = 16
"""How much text before and after a break determines its strength among the breaks of its kind."""
NEIGHBOURHOOD = 0.25
"""The distance in which a break is compared with others, as a part of the maximal length. A greater one makes longer
parts, and a change moves more cuts."""
MIN_PART = 0.3
"""A part that is too long is not cut nearer to its ends than this part of the maximal length, if there is a choice."""


def find_cuts(text: str, breaks: Sequence[tuple[int, int]], start: int, end: int, max_length: int) -> list[int]:
    """The cuts after which no part between `start` and `end` is longer than `max_length`, as far as there are breaks.

    `breaks` are the position and the kind of each break between them, in order of position.
    """
    if end - start <= max_length:
        return []
    ordered = _sort_by_strength(text, breaks)
    edges = [start, *_find_maxima(ordered, start, end, int(NEIGHBOURHOOD * max_length)), end]
    min_length = int(MIN_PART * max_length)
    for at in ordered:
        index = bisect_left(edges, at)
        before, after = edges[index - 1], edges[index]
        if after - before > max_length and at - before >= min_length and after - at >= min_length:
            edges.insert(index, at)
    positions = [at for at, _ in breaks]
    for before, after in pairwise(tuple(edges)):
        for at in _halve(text, positions, before, after, max_length):
            insort(edges, at)
    return edges[1:-1]


def _sort_by_strength(text: str, breaks: Sequence[tuple[int, int]]) -> list[int]:
    def strength(one: tuple[int, int]) -> int:
        at, kind = one
        after, before = text[at : at + CONTEXT_CHARACTERS], text[max(at - CONTEXT_CHARACTERS, 0) : at]
        # A difference, because a changed sentence then seldom makes both of its breaks stronger or both weaker.
        return (kind << 34) + crc32(after.encode()) - crc32(before.encode())

    return [at for at, _ in sorted(breaks, key=strength, reverse=True)]


def _find_maxima(ordered: Sequence[int], start: int, end: int, distance: int) -> list[int]:
    """The breaks, in order, that have neither a stronger one nor an end of the text within `distance` characters."""
    maxima = []
    stronger: dict[int, tuple[int, int]] = {}  # the first and the last stronger break in each stretch of `distance`
    for at in ordered:
        stretch = at // distance
        last = stronger.get(stretch - 1, (0, start))[1]
        first = stronger.get(stretch + 1, (end, 0))[0]
        here = stronger.get(stretch)
        if here is None and at - max(last, start) > distance and min(first, end) - at > distance:
            maxima.append(at)
        stronger[stretch] = (min(here[0], at), max(here[1], at)) if here else (at, at)
    return sorted(maxima)


def _halve(text: str, positions: Sequence[int], start: int, end: int, max_length: int) -> Iterator[int]:
    """Cuts a part that is still too long at the break nearest to its middle, again and again."""
    parts = [(start, end)]
    while parts:
        start, end = parts.pop()
        first, last = bisect_left(positions, start + 1), bisect_left(positions, end)
        if first < last and len(text[start:end].strip()) > max_length:
            at = min(positions[first:last], key=lambda position: abs(2 * position - start - end))
            yield at
            parts += [(start, at), (at, end)]
