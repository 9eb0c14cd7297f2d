"""Renders the turns of a transcript as one text."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

AFTER_NAME = ": "


@dataclass(frozen=True, slots=True)
class TranscriptTurn:
    """What a speaker says without interruption."""

    speaker: str
    text: str


def render_transcript(turns: Sequence[TranscriptTurn]) -> str:
    """One line for each turn, `Speaker: text`. Consecutive turns of one speaker are joined."""
    return render_turns(turns)[0]


def render_turns(turns: Sequence[TranscriptTurn]) -> tuple[str, dict[int, str]]:
    """The transcript, and by the position of each turn the `Speaker: ` it begins with. Empty turns are left out."""
    lines = []
    names = {}
    length = 0
    stripped = ((turn.speaker.strip(), turn.text.strip()) for turn in turns if turn.text.strip())
    for speaker, group in groupby(stripped, key=lambda turn: turn[0]):
        name = speaker + AFTER_NAME if speaker else ""
        names[length] = name
        lines.append(name + " ".join(text for _, text in group))
        length += len(lines[-1]) + 1
    return "\n".join(lines), names
