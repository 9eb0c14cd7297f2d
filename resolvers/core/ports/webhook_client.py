"""The port through which webhooks are posted; `caret.adapters.webhook_client` implements it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from models.limits import limit

MAX_STORED_RESPONSE_BYTES = limit(
    2_048,
    "A webhook response's body, and its headers, as the delivery log stores them",
    area="Webhooks",
    unit="bytes each",
    beyond="cut",
)


class EndpointUnreachable(Exception):  # noqa: N818 (says what is the matter, as Problem does)
    """There was no response. The text is safe to show to the endpoint's owner."""


@dataclass(frozen=True, slots=True)
class EndpointResponse:
    """An endpoint's response. Body and headers are cut after MAX_STORED_RESPONSE_BYTES; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: str


class WebhookClient(Protocol):
    """Posts to addresses of the public internet, and to no others."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> EndpointResponse:
        """Makes one attempt, which takes some seconds at most. Raises EndpointUnreachable."""
