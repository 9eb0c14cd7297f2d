"""Users' access tokens: HS256 with a configured secret, ES256 and RS256 through the issuer's JWKS."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import structlog
from jwt import PyJWK, PyJWKSet, PyJWTError
from pydantic import SecretStr

from models.base import as_id, storable
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.ports.access_tokens import Claims

log = structlog.get_logger()

LONGEST = 16_384
"""Characters of a token at most."""
LEEWAY = 30
"""Seconds by which clocks may differ."""
REFETCH = 30.0
"""Seconds between two fetches of the JWKS, so that made-up key ids can't cause a flood of them."""
LIFETIME = 600.0
"""Seconds after which the JWKS is fetched again, so that a key that the issuer has withdrawn stops working."""


class Jwks:
    """The issuer's keys, fetched again for a token that names another one, and when they are old. One fetch at a time.

    While the issuer is away the keys that were known stay.
    """

    def __init__(self, url: str, client: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._client = client
        self._clock = clock
        self._keys: dict[str | None, PyJWK] = {}
        self._fetched = -math.inf
        self._lock = asyncio.Lock()

    async def key(self, kid: str | None) -> PyJWK | None:
        if kid not in self._keys or self._age >= LIFETIME:
            async with self._lock:
                # Whoever waited here may find what the one before has fetched.
                if self._age >= (LIFETIME if kid in self._keys else REFETCH):
                    await self._fetch()
        return self._keys.get(kid)

    @property
    def _age(self) -> float:
        return self._clock() - self._fetched

    async def _fetch(self) -> None:
        before, self._fetched = self._fetched, self._clock()
        try:
            response = await self._client.get(self._url)
            response.raise_for_status()
            keys = PyJWKSet.from_dict(response.json()).keys
        except asyncio.CancelledError:
            # Who caused the fetch has left: the next one is free to try.
            self._fetched = before
            raise
        # AttributeError: PyJWKSet takes for granted that the document is an object.
        except (httpx.HTTPError, PyJWTError, ValueError, TypeError, AttributeError) as error:
            log.warning("jwks.fetch_failed", error=str(error) or type(error).__name__)
            return
        self._keys = {key.key_id: key for key in keys}


class JwtVerifier:
    def __init__(self, *, secret: SecretStr | None, jwks: Jwks | None, audience: str, issuer: str | None) -> None:
        self._secret = secret
        self._jwks = jwks
        self._audience = audience
        self._issuer = issuer

    async def verify(self, token: str) -> Claims:
        """Checks signature, `exp`, `aud` and (where configured) `iss`. Raises UNAUTHENTICATED."""
        if len(token) > LONGEST:
            raise refused("The access token is too long.")
        try:
            claims = await self._claims(token)
            # What was opened with it stays as long as it would be accepted again: else a client whose clock is late
            # would be let in and shut out, again and again.
            expires_at = float(claims["exp"]) + LEEWAY
        except jwt.ExpiredSignatureError:
            raise refused("The access token has expired.") from None
        except (PyJWTError, ValueError, TypeError, OverflowError):
            raise refused("The access token is not valid.") from None
        user_id = as_id(claims.get("sub"))
        if user_id is None:
            raise refused("The access token's `sub` is not a UUID.")
        return Claims(user_id, _text(claims.get("email")), _name(claims), expires_at)

    async def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        # Which kind of key is used follows from the configuration, never from the token alone: a public key must
        # not be taken for an HMAC secret.
        if algorithm == "HS256" and self._secret is not None:
            return self._decode(token, self._secret.get_secret_value(), "HS256")
        if algorithm in {"ES256", "RS256"} and self._jwks is not None:
            key = await self._jwks.key(header.get("kid"))
            if key is not None and key.algorithm_name == algorithm:
                return self._decode(token, key, algorithm)
        raise refused("The access token is not signed by a known key.")

    def _decode(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY,
            options={"require": ["exp", "sub", "aud", *(["iss"] if self._issuer else [])], "verify_sub": False},
        )


def refused(message: str) -> Problem:
    return Problem(ErrorCode.UNAUTHENTICATED, message)


def _text(value: object) -> str | None:
    """A claim that may be shown and stored, or None."""
    try:
        return storable(value)[:320] if isinstance(value, str) and value.strip() else None
    except ValueError:
        return None


def _name(claims: dict[str, Any]) -> str | None:
    profile = claims.get("user_metadata")
    given = profile if isinstance(profile, dict) else {}
    return _text(claims.get("name")) or _text(given.get("full_name")) or _text(given.get("name"))
