"""Access tokens signed with this house's own secret."""

import time
from typing import Any

from pydantic import SecretStr

LIFETIME = 30 * 24 * 3600.0
"""Seconds for which a token is good."""


def issue(
    secret: SecretStr, user_id: object, email: str, *, audience: str, issuer: str | None, lifetime: float = LIFETIME
) -> str:
    """A token like those that `caret.adapters.access_tokens` accepts, good for `lifetime` seconds."""
    import jwt  # noqa: PLC0415 (a fifth of a second with what it imports, and `serve` needs it last)

    claims: dict[str, Any] = {"sub": str(user_id), "email": email, "aud": audience, "exp": int(time.time() + lifetime)}
    if issuer is not None:
        claims["iss"] = issuer
    return jwt.encode(claims, secret.get_secret_value(), algorithm="HS256")
