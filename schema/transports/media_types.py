"""Media types: what a client accepts, and what it sends (RFC 9110, sections 8.3 and 12.5.1)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
SSE = "text/event-stream"
MULTIPART = "multipart/mixed"

READ = 2_000
"""Characters of a header that are read. None that a client means has more, and each costs time."""
RANGES = 50
"""Media types of an `Accept` that are read. The clients that are known send six at most."""

_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_PART = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+')


@dataclass(frozen=True, slots=True)
class Media:
    """A media type or, of those accepted, a range of them; names and types in lower case."""

    type: str
    parameters: Mapping[str, str]

    @property
    def weight(self) -> float:
        try:
            weight = float(self.parameters.get("q", "1"))
        except ValueError:
            return 1.0
        return weight if 0 <= weight <= 1 else 1.0

    @property
    def is_utf8(self) -> bool:
        return self.parameters.get("charset", "utf-8").lower() in {"utf-8", "utf8"}


@dataclass(frozen=True, slots=True)
class Accepted:
    """`answer`: JSON, GRAPHQL or None for what has one payload; `stream`: SSE, MULTIPART or None for what has many."""

    answer: str | None
    stream: str | None


def read_media(text: str) -> Media:
    kind, *rest = _PART.findall(text[:READ]) or [""]
    pairs = (part.partition("=") for part in rest)
    parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    return Media(kind.strip().lower(), parameters)


def negotiate(header: str | None) -> Accepted:
    """What to send to a client with this `Accept`.

    Without one, and for any wildcard, the answer is JSON, which every client reads. A stream must be asked for by name:
    a client that takes anything can hardly read one.
    """
    elements = islice(_ELEMENT.finditer((header or "*/*")[:READ]), RANGES)
    ranges = [read_media(element.group()) for element in elements]
    return Accepted(_best(ranges, (JSON, GRAPHQL)), _best([r for r in ranges if _names_stream(r)], (SSE, MULTIPART)))


def _names_stream(media: Media) -> bool:
    # Without this parameter multipart/mixed is what clients of other protocols accept.
    subscriptions = media.type == MULTIPART and media.parameters.get("subscriptionspec") == "1.0"
    return media.type == SSE or subscriptions


def _best(ranges: Iterable[Media], offered: tuple[str, ...]) -> str | None:
    """The offer of the highest weight; of equals the one that is named, and of those the one named first."""
    best: tuple[float, int, int] = (0.0, 0, 0)
    found = None
    for offer in offered:
        matching = [(_closeness(media, offer), -place, media.weight) for place, media in enumerate(ranges)]
        closeness, place, weight = max(matching, default=(0, 0, 0.0))
        if closeness and weight and (weight, closeness, place) > best:
            best, found = (weight, closeness, place), offer
    return found


def _closeness(media: Media, offer: str) -> int:
    """How exactly a range means an offer: 0 for not at all."""
    if not media.is_utf8:
        return 0
    wildcards = {"*/*": 1, f"{offer.partition('/')[0]}/*": 2, offer: 3}
    return wildcards.get(media.type, 0)
