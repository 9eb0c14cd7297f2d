"""The port to the verification of access tokens; `caret.adapters.access_tokens` implements it."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a verified access token. `user_id` is its `sub`, `expires_at` is in Unix seconds."""

    user_id: UUID
    email: str | None
    name: str | None
    expires_at: float


class TokenVerifier(Protocol):
    """Checks the signature, the issuer and the expiry of an access token."""

    async def verify(self, token: str) -> Claims:
        """Raises Problem UNAUTHENTICATED."""
