"""Builds the lead of a chunk: the end of the text before its body, or the name of the speaker."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from resolvers.search.chunks.transcript import AFTER_NAME

SPACE = re.compile(r"\s+")
MAX_GAP_CHARACTERS = 2
"""More white space than this between two bodies is shortened to a space, a line end or a blank line."""


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of a text, from the character `start` to `end` (exclusive)."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class LeadBuilder:
    """Builds the leads of the chunks of one text.

    `sentences` and `turns` are the positions at which sentences and turns begin, in order; `names` are the `Speaker: `
    that the turns begin with. `size` is the length of a chunk, `overlap` how much of it may repeat the body before.
    """

    text: str
    sentences: Sequence[int]
    turns: Sequence[int]
    names: Sequence[str]
    size: int
    overlap: int

    def build(self, previous: Body, body: Body) -> str:
        """The lead of `body`, which follows `previous`."""
        room = self.size - len(body)
        turn = bisect_right(self.turns, body.start) - 1
        if turn < 0 or self.turns[turn] == body.start:
            return self._repeat_end(previous, previous.start, body, room)
        start = self.turns[turn]
        if start >= previous.start and body.start - start <= min(room, self.overlap):
            return self.text[start : body.start]
        name = shorten(self.names[turn], AFTER_NAME, room)
        after_name = max(previous.start, start + len(self.names[turn]))
        return name + self._repeat_end(previous, after_name, body, room - len(name))

    def _repeat_end(self, previous: Body, floor: int, body: Body, room: int) -> str:
        """The end of the previous body, from `floor` on at the earliest, with the white space after it."""
        gap = _shorten_gap(self.text[previous.end : body.start])
        earliest = previous.end - min(self.overlap, room) + len(gap)
        start = floor if earliest <= floor else self._next_start(earliest, previous.end)
        return self.text[start : previous.end] + gap if start < previous.end else ""

    def _next_start(self, earliest: int, end: int) -> int:
        """The first sentence that begins at `earliest` or later, else the first word, else `earliest`."""
        index = bisect_left(self.sentences, earliest)
        if index < len(self.sentences) and self.sentences[index] < end:
            return self.sentences[index]
        space = SPACE.search(self.text, earliest - 1, end)
        return space.end() if space else earliest


def shorten(text: str, tail: str, room: int) -> str:
    """A text that ends with `tail`, cut before the tail to fit into `room`. Empty if not even the tail fits."""
    if len(text) <= room:
        return text
    return text[: room - len(tail)].rstrip() + tail if room > len(tail) else ""


def _shorten_gap(gap: str) -> str:
    if len(gap) <= MAX_GAP_CHARACTERS:
        return gap
    return "\n" * min(gap.count("\n"), 2) or " "
