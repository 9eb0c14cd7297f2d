"""Access tokens that an issuer signs: its keys are fetched when needed, once, and never mistaken for a secret."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from caret.adapters.access_tokens import LEEWAY_SECONDS, MAX_AGE_SECONDS, REFETCH_SECONDS, Jwks, JwtVerifier
from resolvers.core.errors import ErrorCode, Problem
from tests.support.issuer import AUDIENCE, ISSUER, Issuer, claims, ec_key, forged, issuing, public, rsa_key, signed
from tests.support.servers import SECRET

EC, RSA, NEW = ec_key(), rsa_key(), ec_key()


@dataclass
class Checked:
    """A verifier with the issuer whose keys it fetches, and the clock it goes by."""

    issuer: Issuer
    http: httpx.AsyncClient
    now: float = 1000.0
    verifier: JwtVerifier = field(init=False)

    def __post_init__(self) -> None:
        self.use()

    def use(self, secret: str | None = None) -> None:
        jwks = Jwks(self.issuer.url, self.http, lambda: self.now)
        shared_secret = None if secret is None else SecretStr(secret)
        self.verifier = JwtVerifier(secret=shared_secret, jwks=jwks, audience=AUDIENCE, issuer=ISSUER)

    async def accepts(self, token: str) -> bool:
        try:
            return (await self.verifier.verify(token)).user_id == UUID(claims()["sub"])
        except Problem as problem:
            return problem.code is not ErrorCode.UNAUTHENTICATED


@pytest.fixture
async def checked() -> AsyncIterator[Checked]:
    async with issuing(ec=EC, rsa=RSA) as issuer, httpx.AsyncClient(timeout=5) as http:
        yield Checked(issuer, http)


async def test_ec_and_rsa_keys_are_selected_by_their_id(checked: Checked) -> None:
    assert await checked.accepts(signed(EC, "ec"))
    assert await checked.accepts(signed(RSA, "rsa"))
    for name, token in {
        "another's id": signed(NEW, "ec"),
        "the other kind's id": signed(EC, "rsa"),
        "no id": signed(EC),
        "another algorithm of the key": signed(RSA, "rsa", "RS512"),
        "another issuer": signed(EC, "ec", iss="https://elsewhere.example"),
        "no issuer": signed(EC, "ec", iss=None),
        "another audience": signed(EC, "ec", aud="anon"),
    }.items():
        assert not await checked.accepts(token), name
    assert checked.issuer.fetches == 1


async def test_a_public_key_does_not_sign_hs256_tokens(checked: Checked) -> None:
    """Neither without a secret nor beside one."""
    payload = json.dumps(claims()).encode()
    key = RSA.public_key()
    shapes = [key.public_bytes(form, PublicFormat.SubjectPublicKeyInfo) for form in (Encoding.PEM, Encoding.DER)]
    shapes += [json.dumps(public("rsa", RSA)).encode(), b""]
    for secret in (None, SECRET):
        checked.use(secret)
        for shape in shapes:
            for alg in (b"HS256", b"RS256", b"none", b"hs256"):
                header = b'{"alg": "%b", "kid": "rsa"}' % alg
                assert not await checked.accepts(forged(header, payload, shape)), (alg, shape)
        assert await checked.accepts(signed(SECRET)) is (secret is not None)
        assert await checked.accepts(signed(RSA, "rsa"))


async def test_concurrent_verifications_fetch_the_keys_once(checked: Checked) -> None:
    checked.issuer.delay = 0.1
    tokens = [signed(key, kid) for key, kid in ((EC, "ec"), (RSA, "rsa")) for _ in range(10)]
    assert all(await asyncio.gather(*map(checked.accepts, tokens)))
    assert checked.issuer.fetches == 1


async def test_an_unknown_key_id_fetches_the_keys_again_but_not_too_often(checked: Checked) -> None:
    assert await checked.accepts(signed(EC, "ec"))
    checked.issuer.keys["new"] = NEW
    for number in range(50):
        assert not await checked.accepts(signed(NEW, f"made up {number}"))
    assert not await checked.accepts(signed(NEW, "new"))
    assert checked.issuer.fetches == 1
    checked.now += REFETCH_SECONDS
    assert all(await asyncio.gather(*(checked.accepts(signed(NEW, "new")) for _ in range(20))))
    assert await checked.accepts(signed(EC, "ec"))
    assert checked.issuer.fetches == 2


async def test_a_withdrawn_key_stops_working(checked: Checked) -> None:
    assert await checked.accepts(signed(EC, "ec"))
    del checked.issuer.keys["ec"]
    checked.now += MAX_AGE_SECONDS - 1
    assert await checked.accepts(signed(EC, "ec"))
    checked.now += 1
    assert not await checked.accepts(signed(EC, "ec"))
    assert await checked.accepts(signed(RSA, "rsa"))


BROKEN = [
    b"",
    b"<html>",
    b"[]",
    b"null",
    b'"x"',
    b"{}",
    b'{"keys": 5}',
    b'{"keys": [5]}',
    b'{"keys": [{"kty": "RSA"}]}',
]


@pytest.mark.parametrize(("status", "answer"), [(503, None), (302, None), *((200, answer) for answer in BROKEN)])
async def test_cached_keys_work_while_the_issuer_is_away(checked: Checked, status: int, answer: bytes | None) -> None:
    checked.issuer.status, checked.issuer.answer = status, answer
    assert not await checked.accepts(signed(EC, "ec"))
    checked.issuer.status, checked.issuer.answer = 200, None
    assert not await checked.accepts(signed(EC, "ec")), "it was just asked"
    checked.now += REFETCH_SECONDS
    assert await checked.accepts(signed(EC, "ec"))
    checked.issuer.status, checked.issuer.answer = status, answer
    checked.now += MAX_AGE_SECONDS
    assert await checked.accepts(signed(EC, "ec"))
    assert not await checked.accepts(signed(NEW, "new"))


async def test_an_issuer_that_is_away_is_unavailable(checked: Checked) -> None:
    up, checked.issuer.url = checked.issuer.url, "http://127.0.0.1:9/jwks.json"
    checked.use()
    assert not await checked.accepts(signed(EC, "ec"))
    checked.issuer.url = up
    checked.use()
    assert await checked.accepts(signed(EC, "ec"))


async def test_the_first_verification_may_be_cancelled(checked: Checked) -> None:
    checked.issuer.delay = 0.2
    first = asyncio.create_task(checked.accepts(signed(EC, "ec")))
    await asyncio.sleep(0.05)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await checked.accepts(signed(EC, "ec"))


async def test_a_token_signed_with_the_secret_has_its_claims() -> None:
    verifier = JwtVerifier(secret=SecretStr(SECRET), jwks=None, audience=AUDIENCE, issuer=None)
    until = int(time.time()) + 60
    profile = {"full_name": " Ada "}
    token = signed(SECRET, email="ada@example.com", user_metadata=profile, exp=until, iss=None)
    verified = await verifier.verify(token)
    assert (str(verified.user_id), verified.email, verified.name) == (claims()["sub"], "ada@example.com", " Ada ")
    assert verified.expires_at == until + LEEWAY_SECONDS
