"""Divides a note's texts into chunks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from models.search import TextSource
from resolvers.search.chunks.boundaries import Break, BreakKind, find_breaks
from resolvers.search.chunks.overlap import Body, LeadBuilder, shorten
from resolvers.search.chunks.splitting import find_cuts
from resolvers.search.chunks.transcript import TranscriptTurn, render_turns

AFTER_TITLE = "\n\n"


@dataclass(frozen=True, slots=True)
class SourceText:
    """One of a note's texts."""

    source: TextSource
    text: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a note that is embedded and shown.

    `text` is a lead and the body; `start` and `end` (exclusive) are the position of the body in the source's text.
    """

    text: str
    source: TextSource
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A text to divide. For a transcript `names` has the position of each turn, and the `Speaker: ` it begins with."""

    source: TextSource
    text: str
    names: Mapping[int, str] = field(default_factory=dict)


def split_into_chunks(
    title: str, texts: Sequence[SourceText], turns: Sequence[TranscriptTurn], size: int, overlap: int
) -> list[Chunk]:
    """The chunks of a note, each of at most `size` characters (64 or more; `overlap` must be less).

    The bodies of a source follow one another with nothing but white space in between. The lead of a body repeats up to
    `overlap` characters of the body before it. A body that begins inside a turn is led by the speaker's name, the first
    body of the note by the title. The title is a chunk of its own only if the note has no other text.
    """
    heading = title.strip() + AFTER_TITLE if title.strip() else ""
    chunks: list[Chunk] = []
    transcript = _Part(TextSource.TRANSCRIPT, *render_turns(turns))
    for part in (*(_Part(one.source, one.text) for one in texts), transcript):
        chunks += _split_part(part, "" if chunks else heading, size, overlap)
    return chunks or _split_part(_Part(TextSource.TITLE, title), "", size, overlap)


def _split_part(part: _Part, heading: str, size: int, overlap: int) -> list[Chunk]:
    """The chunks of one text, the first of which is led by `heading`."""
    # Half of the overlap is left free for leads, and in a transcript there is always room for a name.
    max_body = size - max(overlap // 2, size // 8 if part.names else 0)
    everything = Body(0, len(part.text))
    breaks = find_breaks(part.text, everything.start, everything.end, part.names, max_body)
    bodies = _split_body(part.text, everything, breaks, max_body)
    if not bodies:
        return []
    if heading:
        bodies[:1] = _make_room_for_heading(heading, part, bodies[0], size)
    sentences = [one.at for one in breaks if one.kind >= BreakKind.SENTENCE]
    builder = LeadBuilder(part.text, sentences, tuple(part.names), tuple(part.names.values()), size, overlap)
    first = shorten(heading, AFTER_TITLE, size - len(bodies[0]))
    leads = [first, *(builder.build(previous, body) for previous, body in pairwise(bodies))]
    return [
        Chunk(lead + part.text[body.start : body.end], part.source, body.start, body.end)
        for lead, body in zip(leads, bodies, strict=True)
    ]


def _make_room_for_heading(heading: str, part: _Part, first: Body, size: int) -> list[Body]:
    """The first body, divided again if the heading leaves too little room for it."""
    if len(heading) + len(first) <= size:
        return [first]
    max_body = max(size - len(heading), size - size // 2)
    breaks = find_breaks(part.text, first.start, first.end, part.names, max_body)
    return _split_body(part.text, first, breaks, max_body)


def _split_body(text: str, body: Body, breaks: Sequence[Break], max_body: int) -> list[Body]:
    """The bodies between the cuts, without the white space around them."""
    edges = [body.start, *find_cuts(text, breaks, body.start, body.end, max_body), body.end]
    bodies = []
    for start, end in pairwise(edges):
        first = end - len(text[start:end].lstrip())
        last = first + len(text[first:end].rstrip())
        # A text without any break is cut at a fixed length.
        bodies += [Body(at, min(at + max_body, last)) for at in range(first, last, max_body)]
    return bodies
