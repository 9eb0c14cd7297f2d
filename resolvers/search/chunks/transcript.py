"""The turns of a transcript as one text."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

AFTER_NAME = ": "


@dataclass(frozen=True, slots=True)
class Turn:
    """What a speaker said without being interrupted."""

    speaker: str
    text: str


def transcript(turns: Sequence[Turn]) -> str:
    """One line for each turn, `Speaker: text`. Neighbouring turns of one speaker are one."""
    return spoken(turns)[0]


def spoken(turns: Sequence[Turn]) -> tuple[str, dict[int, str]]:
    """The transcript, and where in it each turn begins with which `Speaker: `. Turns without words are left out."""
    lines = []
    names = {}
    length = 0
    worded = ((turn.speaker.strip(), turn.text.strip()) for turn in turns if turn.text.strip())
    for speaker, group in groupby(worded, key=lambda turn: turn[0]):
        name = speaker + AFTER_NAME if speaker else ""
        names[length] = name
        lines.append(name + " ".join(text for _, text in group))
        length += len(lines[-1]) + 1
    return "\n".join(lines), names
