"""What a chunk is shown and embedded with before its own text: the end of what came before it, and who speaks."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from resolvers.search.chunks.transcript import AFTER_NAME

SPACE = re.compile(r"\s+")
NARROW = 2
"""Characters: more white space than this between two bodies is shown as one space, line end or blank line."""


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of a text, from the character `start` up to and without `end`."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Leads:
    """Makes the leads of the chunks of one text.

    `sentences`: where sentences begin, in order; `turns`: where turns begin, in order, and `names` the `Speaker: ` each
    begins with; `size`: characters of a chunk; `overlap`: characters that it may repeat.
    """

    text: str
    sentences: Sequence[int]
    turns: Sequence[int]
    names: Sequence[str]
    size: int
    overlap: int

    def between(self, before: Body, body: Body) -> str:
        """The lead of a body after another."""
        spare = self.size - len(body)
        turn = bisect_right(self.turns, body.start) - 1
        if turn < 0 or self.turns[turn] == body.start:
            return self._repeated(before, before.start, body, spare)
        start = self.turns[turn]
        if start >= before.start and body.start - start <= min(spare, self.overlap):
            return self.text[start : body.start]
        name = shortened(self.names[turn], AFTER_NAME, spare)
        said = max(before.start, start + len(self.names[turn]))
        return name + self._repeated(before, said, body, spare - len(name))

    def _repeated(self, before: Body, floor: int, body: Body, spare: int) -> str:
        """The end of the body before, not from before `floor`, with the white space after it."""
        gap = _narrowed(self.text[before.end : body.start])
        earliest = before.end - min(self.overlap, spare) + len(gap)
        start = floor if earliest <= floor else self._start(earliest, before.end)
        return self.text[start : before.end] + gap if start < before.end else ""

    def _start(self, earliest: int, end: int) -> int:
        """The first sentence that begins at `earliest` or later, else the first word, else `earliest`."""
        place = bisect_left(self.sentences, earliest)
        if place < len(self.sentences) and self.sentences[place] < end:
            return self.sentences[place]
        space = SPACE.search(self.text, earliest - 1, end)
        return space.end() if space else earliest


def shortened(text: str, tail: str, room: int) -> str:
    """A text that ends with `tail`, cut before that so that it fits; nothing where there is no room for any of it."""
    if len(text) <= room:
        return text
    return text[: room - len(tail)].rstrip() + tail if room > len(tail) else ""


def _narrowed(gap: str) -> str:
    if len(gap) <= NARROW:
        return gap
    return "\n" * min(gap.count("\n"), 2) or " "
