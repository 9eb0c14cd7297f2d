"""Finds where a text may be cut: before its paragraphs, turns, lines and sentences, and inside very long sentences.

Each line is examined by itself, and each piece of a very long line, so a change moves only the breaks near it.
"""

import re
from collections.abc import Collection, Iterator
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

from sentencex import get_sentence_boundaries  # type: ignore[import-untyped]

from resolvers.search.chunks.splitting import find_cuts

LANGUAGE = "en"
"""The rules that separate sentences. A note's language is not known; these rules know the stops of all scripts."""
MAX_PIECE_CHARACTERS = 2_000
"""The length of text in which sentences are searched at once: the time can grow with the square of it."""
SHORT_LINE_CHARACTERS = 32
"""A line up to this length counts as one sentence, so half a million short lines are examined in a second."""

NEWLINES = re.compile(r"\n\s*")
SPACE = re.compile(r"\s+")
# Possessive, and matched from the first stop of a run only: otherwise a text of stops takes the square of its length.
CLOSING = "[\"'”’»)\\]」』）]*+"
STOP = re.compile(rf"(?<![.!?…])[.!?…]++{CLOSING}\s++(?![a-z])|[。！？｡．؟۔।॥։።။]++{CLOSING}\s*+")
ASCII_SPACES = {point: " " for point in range(0x80, 0x3001) if chr(point).isspace()}
"""For `str.translate`: sentencex 1.0.32 panics at a wide or no-break space after an initial."""
PAUSE = re.compile(rf"(?<![.!?…;:,])[.!?…;:,]++{CLOSING}\s++|[、，；：،؛。！？｡．؟۔।॥։።။]++{CLOSING}\s*+")


class BreakKind(IntEnum):
    """What begins after a break. Of two breaks a chunk prefers to end at the one of the higher kind."""

    WORD = 0
    PHRASE = 1
    SENTENCE = 2
    LINE = 3
    TURN = 4
    PARAGRAPH = 5


class Break(NamedTuple):
    """A position before the character `at`, where a chunk may begin."""

    at: int
    kind: BreakKind


def find_breaks(text: str, start: int, end: int, turns: Collection[int], max_body: int) -> list[Break]:
    """The breaks between `start` and `end`, in order.

    `turns` are the positions at which turns begin, `max_body` is the length of a chunk's body.
    """
    breaks: list[Break] = []
    for gap in NEWLINES.finditer(text, start, end):
        if gap.start() - start > SHORT_LINE_CHARACTERS:
            breaks += _breaks_in_line(text, start, gap.start(), max_body)
        start = gap.end()
        if start in turns:
            breaks.append(Break(start, BreakKind.TURN))
        elif start < end:
            breaks.append(Break(start, BreakKind.PARAGRAPH if gap.group().count("\n") > 1 else BreakKind.LINE))
    breaks += _breaks_in_line(text, start, end, max_body)
    return breaks


def _breaks_in_line(text: str, start: int, end: int, max_body: int) -> Iterator[Break]:
    """The sentences of a line, and the phrases and words of a sentence that is longer than a body."""
    edges = [start, *(start + at for at in _sentence_starts(text[start:end])), end]
    for first, last in pairwise(edges):
        if first > start:
            yield Break(first, BreakKind.SENTENCE)
        if last - first > max_body:
            yield from _breaks_in_sentence(text, first, last)


def _sentence_starts(line: str) -> Iterator[int]:
    """Where the sentences of a line begin, without the first one."""
    stops: list[tuple[int, int]] = []
    if len(line) > MAX_PIECE_CHARACTERS:
        stops = [(match.end(), 0) for match in STOP.finditer(line) if match.end() < len(line)]
    pieces = [0, *find_cuts(line, stops, 0, len(line), MAX_PIECE_CHARACTERS), len(line)]
    for start, end in pairwise(pieces):
        if start:
            yield start
        if end - start <= MAX_PIECE_CHARACTERS:
            yield from (start + at for at in sentence_ends(line[start:end].translate(ASCII_SPACES))[:-1])


def sentence_ends(piece: str) -> list[int]:
    """Where the sentences of a piece of a line end. Empty if the library fails, so that no text fails to be indexed."""
    try:
        return [sentence["end_index"] for sentence in get_sentence_boundaries(LANGUAGE, piece)]
    except BaseException as error:
        # A panic in Rust is not an Exception, and its class can't be imported.
        if type(error).__name__ != "PanicException":
            raise
        return []


def _breaks_in_sentence(text: str, start: int, end: int) -> Iterator[Break]:
    """The positions after white space, and the ends of phrases, also in scripts without spaces."""
    phrases = {match.end() for match in PAUSE.finditer(text, start, end)}
    words = {match.end() for match in SPACE.finditer(text, start, end)}
    for at in sorted(phrases | words):
        if start < at < end:
            yield Break(at, BreakKind.PHRASE if at in phrases else BreakKind.WORD)
