"""Where a text may be cut: before its paragraphs, turns, lines and sentences, and inside sentences that are too long.

Every line is looked at alone, and of a very long line every piece, so a change moves the breaks near it and no others.
"""

import re
from collections.abc import Collection, Iterator
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

from sentencex import get_sentence_boundaries  # type: ignore[import-untyped]

from resolvers.search.chunks.splitting import divided

LANGUAGE = "en"
"""The rules by which sentences are told apart. Notes don't say their language; these know the stops of all scripts."""
LONGEST_PIECE = 2_000
"""Characters in which sentences are looked for at once: the time that takes can grow with the square."""

SHORT_LINE = 32
"""Characters: a line of so many is taken for one sentence. Half a million lines are looked through in a second so."""

NEWLINES = re.compile(r"\n\s*")
SPACE = re.compile(r"\s+")
# Possessive, and from the first stop of a run only: else a text of nothing but stops takes the square of its length.
CLOSING = "[\"'”’»)\\]」』）]*+"
STOP = re.compile(rf"(?<![.!?…])[.!?…]++{CLOSING}\s++(?![a-z])|[。！？｡．؟۔।॥։።။]++{CLOSING}\s*+")
ASCII_SPACES = {point: " " for point in range(0x80, 0x3001) if chr(point).isspace()}
"""For `str.translate`: sentencex 1.0.32 panics at a wide or no-break space after an initial."""
PAUSE = re.compile(rf"(?<![.!?…;:,])[.!?…;:,]++{CLOSING}\s++|[、，；：،؛。！？｡．؟۔।॥։።။]++{CLOSING}\s*+")


class Kind(IntEnum):
    """What begins after a break. Of two breaks a chunk rather ends at the one of the higher kind."""

    WORD = 0
    PHRASE = 1
    SENTENCE = 2
    LINE = 3
    TURN = 4
    PARAGRAPH = 5


class Break(NamedTuple):
    """A place before the character `at`, where a chunk may begin."""

    at: int
    kind: Kind


def breaks(text: str, start: int, end: int, turns: Collection[int], room: int) -> list[Break]:
    """The breaks between `start` and `end`, in order. `turns`: where turns begin; `room`: the length of a body."""
    found: list[Break] = []
    for gap in NEWLINES.finditer(text, start, end):
        if gap.start() - start > SHORT_LINE:
            found += _in_line(text, start, gap.start(), room)
        start = gap.end()
        if start in turns:
            found.append(Break(start, Kind.TURN))
        elif start < end:
            found.append(Break(start, Kind.PARAGRAPH if gap.group().count("\n") > 1 else Kind.LINE))
    found += _in_line(text, start, end, room)
    return found


def _in_line(text: str, start: int, end: int, room: int) -> Iterator[Break]:
    """The sentences of a line, and the phrases and words of a sentence that is longer than the room."""
    stops = [start, *(start + at for at in _sentences(text[start:end])), end]
    for first, last in pairwise(stops):
        if first > start:
            yield Break(first, Kind.SENTENCE)
        if last - first > room:
            yield from _in_sentence(text, first, last)


def _sentences(line: str) -> Iterator[int]:
    """Where the sentences of a line begin, but the first."""
    stops: list[tuple[int, int]] = []
    if len(line) > LONGEST_PIECE:
        stops = [(found.end(), 0) for found in STOP.finditer(line) if found.end() < len(line)]
    pieces = [0, *divided(line, stops, 0, len(line), LONGEST_PIECE), len(line)]
    for start, end in pairwise(pieces):
        if start:
            yield start
        if end - start <= LONGEST_PIECE:
            yield from (start + at for at in ends(line[start:end].translate(ASCII_SPACES))[:-1])


def ends(piece: str) -> list[int]:
    """Where the sentences of a piece of a line end; none where the library fails, so that no text is refused for it."""
    try:
        return [sentence["end_index"] for sentence in get_sentence_boundaries(LANGUAGE, piece)]
    except BaseException as error:
        # A panic in Rust is no Exception, and its class has no name that can be imported.
        if type(error).__name__ != "PanicException":
            raise
        return []


def _in_sentence(text: str, start: int, end: int) -> Iterator[Break]:
    """Each space, and the ends of phrases, in scripts without spaces too."""
    phrases = {found.end() for found in PAUSE.finditer(text, start, end)}
    words = {found.end() for found in SPACE.finditer(text, start, end)}
    for at in sorted(phrases | words):
        if start < at < end:
            yield Break(at, Kind.PHRASE if at in phrases else Kind.WORD)
