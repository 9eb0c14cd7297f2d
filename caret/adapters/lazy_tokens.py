"""The verification of access tokens, imported when the first token arrives: servers with API keys alone need none."""

from typing import TYPE_CHECKING

from pydantic import SecretStr

from caret.lazy import LazyModule
from resolvers.core.ports.access_tokens import Claims

if TYPE_CHECKING:
    from caret.adapters.access_tokens import JwtVerifier


class LazyTokenVerifier:
    """`caret.adapters.access_tokens`, imported in a thread at the first use. Close it with `aclose()`."""

    def __init__(self, secret: SecretStr | None, jwks_url: str | None, audience: str, issuer: str | None) -> None:
        self._arguments = (secret, jwks_url, audience, issuer)
        self._module = LazyModule("caret.adapters.access_tokens")
        self._verifier: JwtVerifier | None = None

    async def verify(self, token: str) -> Claims:
        module = await self._module.load()
        if self._verifier is None:
            self._verifier = module.create_verifier(*self._arguments)
        return await self._verifier.verify(token)

    async def aclose(self) -> None:
        if self._verifier is not None:
            await self._verifier.aclose()
