"""Issues access tokens, signed with the secret of this server."""

import time
from importlib import import_module
from typing import Any

from pydantic import SecretStr

LIFETIME_SECONDS = 30 * 24 * 3600.0


def issue(
    secret: SecretStr,
    user_id: object,
    email: str,
    *,
    audience: str,
    issuer: str | None,
    lifetime: float = LIFETIME_SECONDS,
) -> str:
    """A token like those that `caret.adapters.access_tokens` accepts, valid for `lifetime` seconds."""
    claims: dict[str, Any] = {"sub": str(user_id), "email": email, "aud": audience, "exp": int(time.time() + lifetime)}
    if issuer is not None:
        claims["iss"] = issuer
    # `caret serve` needs it last, and a start must not wait for it.
    token: str = import_module("jwt").encode(claims, secret.get_secret_value(), algorithm="HS256")
    return token
