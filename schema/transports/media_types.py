"""Media types: what a client accepts, and what it sends (RFC 9110, sections 8.3 and 12.5.1)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from models.limits import limit

JSON: Final = "application/json"
GRAPHQL: Final = "application/graphql-response+json"
SSE: Final = "text/event-stream"
MULTIPART: Final = "multipart/mixed"

MAX_HEADER_CHARACTERS = limit(
    2_000,
    "An `Accept` or `Content-Type` header",
    area="GraphQL over HTTP",
    beyond="the rest is ignored",
    unit="characters",
)
MAX_ACCEPTED_TYPES = limit(
    50, "Media types in an `Accept` header", area="GraphQL over HTTP", beyond="the rest is ignored"
)
"""Known clients send six at most."""

_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_PART = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+')


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type or, in an `Accept` header, a range of them. Names and types are in lower case."""

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
    """`result` is the media type for a single payload: JSON, GRAPHQL or None. `stream` is that for many payloads: SSE,
    MULTIPART or None."""

    result: str | None
    stream: str | None


def parse_media_type(text: str) -> MediaType:
    kind, *rest = _PART.findall(text[:MAX_HEADER_CHARACTERS]) or [""]
    pairs = (part.partition("=") for part in rest)
    parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    return MediaType(kind.strip().lower(), parameters)


def negotiate(header: str | None) -> Accepted:
    """The media types to answer a client with, given its `Accept` header.

    Without a header, and for a wildcard, the result is JSON, which every client reads. A stream must be accepted by
    name: a client that accepts anything can hardly read one.
    """
    elements = islice(_ELEMENT.finditer((header or "*/*")[:MAX_HEADER_CHARACTERS]), MAX_ACCEPTED_TYPES)
    ranges = [parse_media_type(element.group()) for element in elements]
    streams = [media_type for media_type in ranges if _is_stream(media_type)]
    return Accepted(_best(ranges, (JSON, GRAPHQL)), _best(streams, (SSE, MULTIPART)))


def _is_stream(media_type: MediaType) -> bool:
    # Without this parameter, multipart/mixed is what clients of other protocols accept.
    is_subscription = media_type.type == MULTIPART and media_type.parameters.get("subscriptionspec") == "1.0"
    return media_type.type == SSE or is_subscription


def _best(ranges: Iterable[MediaType], offers: tuple[str, ...]) -> str | None:
    """The offer of the highest weight. Of equal offers a named one wins, and of those the first."""
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen = None
    for offer in offers:
        matches = [
            (_precision(media_type, offer), -index, media_type.weight) for index, media_type in enumerate(ranges)
        ]
        precision, order, weight = max(matches, default=(0, 0, 0.0))
        if precision and weight and (weight, precision, order) > best:
            best, chosen = (weight, precision, order), offer
    return chosen


def _precision(media_type: MediaType, offer: str) -> int:
    """How precisely a range names an offer; 0 if it does not match."""
    if not media_type.is_utf8:
        return 0
    patterns = {"*/*": 1, f"{offer.partition('/')[0]}/*": 2, offer: 3}
    return patterns.get(media_type.type, 0)
