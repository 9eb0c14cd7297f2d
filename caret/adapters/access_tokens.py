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
from models.limits import limit
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.failures import describe
from resolvers.core.ports.access_tokens import Claims

log = structlog.get_logger()

MAX_TOKEN_CHARACTERS = limit(
    16_384, "An access token", area="Authentication", beyond="UNAUTHENTICATED, 401", unit="characters"
)
LEEWAY_SECONDS = 30
"""By so much the clocks of this server and of the issuer may differ."""
REFETCH_SECONDS = 30.0
"""Between two fetches of the JWKS, so that invented key ids can't cause a flood of them."""
MAX_AGE_SECONDS = 600.0
"""The JWKS is fetched again after so long, so that a key that the issuer has withdrawn stops working."""
REQUEST_SECONDS = 10.0
"""For one fetch of the JWKS."""


class Jwks:
    """The issuer's keys. They are fetched again for a token that names an unknown one, and when they are old; one fetch
    runs at a time. While the issuer can't be reached the last known keys are used.
    """

    def __init__(self, url: str, client: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._client = client
        self._clock = clock
        self._keys: dict[str | None, PyJWK] = {}
        self._fetched = -math.inf
        self._lock = asyncio.Lock()

    async def key(self, kid: str | None) -> PyJWK | None:
        if kid not in self._keys or self._age >= MAX_AGE_SECONDS:
            async with self._lock:
                # Another caller may have fetched the keys while this one waited for the lock.
                if self._age >= (MAX_AGE_SECONDS if kid in self._keys else REFETCH_SECONDS):
                    await self._fetch()
        return self._keys.get(kid)

    async def aclose(self) -> None:
        await self._client.aclose()

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
            # The caller has left: the next one is free to try.
            self._fetched = before
            raise
        # AttributeError: PyJWKSet assumes that the document is an object.
        except (httpx.HTTPError, PyJWTError, ValueError, TypeError, AttributeError) as error:
            log.warning("jwks.fetch_failed", error=describe(error))
            return
        self._keys = {key.key_id: key for key in keys}


class JwtVerifier:
    """Verifies access tokens with the configured secret, or with the issuer's keys."""

    def __init__(self, *, secret: SecretStr | None, jwks: Jwks | None, audience: str, issuer: str | None) -> None:
        self._secret = secret
        self._jwks = jwks
        self._audience = audience
        self._issuer = issuer

    async def aclose(self) -> None:
        if self._jwks is not None:
            await self._jwks.aclose()

    async def verify(self, token: str) -> Claims:
        """Checks signature, `exp`, `aud` and (where configured) `iss`. Raises UNAUTHENTICATED."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise unauthenticated("The access token is too long.")
        try:
            claims = await self._claims(token)
            # What was opened with a token stays open as long as the token would be accepted again. Otherwise a client
            # whose clock is late would be connected and disconnected, again and again.
            expires_at = float(claims["exp"]) + LEEWAY_SECONDS
        except jwt.ExpiredSignatureError:
            raise unauthenticated("The access token has expired.") from None
        except (PyJWTError, ValueError, TypeError, OverflowError):
            raise unauthenticated("The access token is not valid.") from None
        user_id = as_id(claims.get("sub"))
        if user_id is None:
            raise unauthenticated("The access token's `sub` is not a UUID.")
        return Claims(user_id, _text(claims.get("email")), _name(claims), expires_at)

    async def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        # The kind of key follows from the configuration, never from the token alone: a public key must not be used
        # as an HMAC secret.
        if algorithm == "HS256" and self._secret is not None:
            return self._decode(token, self._secret.get_secret_value(), "HS256")
        if algorithm in {"ES256", "RS256"} and self._jwks is not None:
            key = await self._jwks.key(header.get("kid"))
            if key is not None and key.algorithm_name == algorithm:
                return self._decode(token, key, algorithm)
        raise unauthenticated("The access token is not signed by a known key.")

    def _decode(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "sub", "aud", *(["iss"] if self._issuer else [])], "verify_sub": False},
        )


def create_verifier(secret: SecretStr | None, jwks_url: str | None, audience: str, issuer: str | None) -> JwtVerifier:
    """Close it with `aclose()`."""
    jwks = None
    if jwks_url is not None:
        jwks = Jwks(jwks_url, httpx.AsyncClient(timeout=REQUEST_SECONDS, follow_redirects=False))
    return JwtVerifier(secret=secret, jwks=jwks, audience=audience, issuer=issuer)


def unauthenticated(message: str) -> Problem:
    return Problem(ErrorCode.UNAUTHENTICATED, message)


def _text(value: object) -> str | None:
    """A claim as text that can be stored, or None."""
    try:
        return storable(value)[:320] if isinstance(value, str) and value.strip() else None
    except ValueError:
        return None


def _name(claims: dict[str, Any]) -> str | None:
    profile = claims.get("user_metadata")
    metadata = profile if isinstance(profile, dict) else {}
    return _text(claims.get("name")) or _text(metadata.get("full_name")) or _text(metadata.get("name"))
