"""Cuts a note's texts into chunks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from models.search import Source
from resolvers.search.chunks.boundaries import Break, Kind, breaks
from resolvers.search.chunks.overlap import Body, Leads, shortened
from resolvers.search.chunks.splitting import divided
from resolvers.search.chunks.transcript import Turn, spoken

AFTER_TITLE = "\n\n"


@dataclass(frozen=True, slots=True)
class Text:
    """One of a note's texts."""

    source: Source
    text: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is embedded and shown as one: `text` is a lead and the body, `start` to `end` of the source's text."""

    text: str
    source: Source
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A text to cut; `names` tells where the turns of a transcript begin, and with which `Speaker: `."""

    source: Source
    text: str
    names: Mapping[int, str] = field(default_factory=dict)


def chunked(title: str, texts: Sequence[Text], turns: Sequence[Turn], size: int, overlap: int) -> list[Chunk]:
    """The chunks of a note, none longer than `size` characters (64 or more; `overlap` is less).

    The bodies of a source follow one another with nothing but white space between them. A body after another is led by
    up to `overlap` characters of it, one that begins inside a turn by its speaker, the first of all by the title. The
    title is a chunk itself where there is nothing else.
    """
    heading = title.strip() + AFTER_TITLE if title.strip() else ""
    chunks: list[Chunk] = []
    for part in (*(_Part(one.source, one.text) for one in texts), _Part(Source.TRANSCRIPT, *spoken(turns))):
        chunks += _chunks(part, "" if chunks else heading, size, overlap)
    return chunks or _chunks(_Part(Source.TITLE, title), "", size, overlap)


def _chunks(part: _Part, heading: str, size: int, overlap: int) -> list[Chunk]:
    """The chunks of one text, the first led by `heading`."""
    # The longest bodies have half of the overlap, and in a transcript space for a name in any case.
    room = size - max(overlap // 2, size // 8 if part.names else 0)
    whole = Body(0, len(part.text))
    found = breaks(part.text, whole.start, whole.end, part.names, room)
    bodies = _bodies(part.text, whole, found, room)
    if not bodies:
        return []
    if heading:
        bodies[:1] = _below(heading, part, bodies[0], size)
    sentences = [one.at for one in found if one.kind >= Kind.SENTENCE]
    leads = Leads(part.text, sentences, tuple(part.names), tuple(part.names.values()), size, overlap)
    first = shortened(heading, AFTER_TITLE, size - len(bodies[0]))
    made = [first, *(leads.between(before, body) for before, body in pairwise(bodies))]
    return [
        Chunk(lead + part.text[body.start : body.end], part.source, body.start, body.end)
        for lead, body in zip(made, bodies, strict=True)
    ]


def _below(heading: str, part: _Part, first: Body, size: int) -> list[Body]:
    """The first body, divided again where the heading leaves no room for all of it."""
    if len(heading) + len(first) <= size:
        return [first]
    room = max(size - len(heading), size - size // 2)
    return _bodies(part.text, first, breaks(part.text, first.start, first.end, part.names, room), room)


def _bodies(text: str, whole: Body, found: Sequence[Break], room: int) -> list[Body]:
    """The bodies between the cuts, without the white space around them."""
    edges = [whole.start, *divided(text, found, whole.start, whole.end, room), whole.end]
    bodies = []
    for start, end in pairwise(edges):
        first = end - len(text[start:end].lstrip())
        last = first + len(text[first:end].rstrip())
        # What has no break in it is cut anywhere.
        bodies += [Body(at, min(at + room, last)) for at in range(first, last, room)]
    return bodies
