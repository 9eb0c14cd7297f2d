"""What webhooks ask of whoever posts for them; `caret.adapters.webhook_client` builds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

MOST_KEPT = 2_048
"""Bytes of an answer's body that are kept, and as many of its headers."""


class Unreachable(Exception):  # noqa: N818 (what happened: nobody answered)
    """No answer. Its text is safe to show."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said, cut after MOST_KEPT. Names of headers are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: str


class Poster(Protocol):
    """Posts to the outside, and nowhere else."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One attempt, of some seconds at most. Raises Unreachable."""
