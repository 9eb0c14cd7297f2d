"""An issuer of access tokens on loopback: its keys, and how often they were fetched."""

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "authenticated"
ISSUER = "https://issuer.example/auth/v1"
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def ec_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key() -> Key:
    return rsa.generate_private_key(65537, 2048)


def public(kid: str, key: Key) -> dict[str, Any]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}


def claims(**more: Any) -> dict[str, Any]:
    """The claims of a valid token; one that is given as None is left out."""
    defaults = {"sub": "0d2a5b5e-7a3c-4b53-9a80-0c5c5b3a0a11", "aud": AUDIENCE, "iss": ISSUER, "exp": time.time() + 600}
    return {name: value for name, value in {**defaults, **more}.items() if value is not None}


def signed(key: Key | str, kid: str | None = None, algorithm: str | None = None, **more: Any) -> str:
    default = "HS256" if isinstance(key, str) else "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
    return jwt.encode(claims(**more), key, algorithm or default, headers={"kid": kid} if kid else None)


def forged(header: bytes, payload: bytes, secret: bytes) -> str:
    """A token with an HMAC over whatever it is: the libraries refuse to make some of these."""

    def part(data: bytes) -> str:
        return urlsafe_b64encode(data).rstrip(b"=").decode()

    text = f"{part(header)}.{part(payload)}"
    return f"{text}.{part(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


@dataclass
class Issuer:
    """`answer`: sent in place of the keys; `status` its HTTP status; `delay` in seconds."""

    keys: dict[str, Key] = field(default_factory=dict)
    url: str = ""
    answer: bytes | None = None
    status: int = 200
    delay: float = 0.0
    fetches: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.fetches += 1
        await asyncio.sleep(self.delay)
        keys = [public(kid, key) for kid, key in self.keys.items()]
        body = json.dumps({"keys": keys}).encode() if self.answer is None else self.answer
        head = f"HTTP/1.1 {self.status} Status\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def issuing(**keys: Key) -> AsyncIterator[Issuer]:
    issuer = Issuer(keys)
    async with await asyncio.start_server(issuer._serve, "127.0.0.1", 0) as server:
        issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"
        yield issuer
