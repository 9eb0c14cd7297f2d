"""Who a credential stands for: tokens that must not work, keys, workspaces, and the first request of a new user."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest
import websockets
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from models import Role
from models.base import new_id
from resolvers.auth import credentials
from resolvers.core.database import Transaction
from tests.conftest import Tenant, token
from tests.support.clients import PROTOCOL, Caller
from tests.support.issuer import claims, ec_key, forged, signed
from tests.support.servers import SECRET, RunningServer

ME = "{ viewer { workspace { id } user { id name email } scopes } }"
WHERE = "/v1/me"
PLAIN = b'{"alg": "HS256", "typ": "JWT"}'


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        yield client


def bearer(credential: str | bytes) -> dict[str, Any]:
    return {"Authorization": b"Bearer " + (credential.encode() if isinstance(credential, str) else credential)}


def with_payload(payload: bytes, header: bytes = PLAIN) -> str:
    return forged(header, payload, SECRET.encode())


def odd(**raw: str) -> str:
    """A token with a valid signature and claims that no library would write."""
    texts = {name: json.dumps(value) for name, value in claims().items()} | raw
    return with_payload(("{" + ", ".join(f'"{name}": {value}' for name, value in texts.items()) + "}").encode())


SUB = claims()["sub"]
GOOD = json.dumps(claims())
BAD_TOKENS: dict[str, str | bytes] = {
    "expired": signed(SECRET, exp=time.time() - 3600),
    "expired with the leeway": signed(SECRET, exp=time.time() - 31),
    "not valid yet": signed(SECRET, nbf=time.time() + 3600),
    "another secret": signed("another secret that is long enough to sign with"),
    "another audience": signed(SECRET, aud="anon"),
    "no audience": signed(SECRET, aud=None),
    "no expiry": signed(SECRET, exp=None),
    "no subject": signed(SECRET, sub=None),
    "a subject that is no uuid": signed(SECRET, sub="admin"),
    "an empty subject": signed(SECRET, sub=""),
    "no signature": jwt.encode(claims(), "", "none"),
    "no signature, in capitals": with_payload(GOOD.encode(), b'{"alg": "NONE"}').rpartition(".")[0] + ".",
    "a signature cut off": signed(SECRET).rpartition(".")[0] + ".",
    "another hash": signed(SECRET, algorithm="HS384"),
    "an asymmetric one": signed(ec_key(), "x"),
    "a subject that is a number": odd(sub="5"),
    "a subject that is a list": odd(sub=f'["{SUB}"]'),
    "an expiry beyond all numbers": odd(exp="1" + "0" * 400),
    "an expiry of infinity": odd(exp="1e999"),
    "a payload that is a list": with_payload(b"[]"),
    "a payload that is no json": with_payload(b"\xff{"),
    "a deep payload": with_payload(b'{"sub": ' + b"[" * 3000),
    "a deep header": with_payload(GOOD.encode(), b'{"alg": ' + b"[" * 3000),
    "a header that is a list": with_payload(GOOD.encode(), b"[]"),
    "an algorithm that is a list": with_payload(GOOD.encode(), b'{"alg": ["HS256"]}'),
    "a key id that is an object": with_payload(GOOD.encode(), b'{"alg": "HS256", "kid": {}}'),
    "a critical extension": with_payload(GOOD.encode(), b'{"alg": "HS256", "crit": ["x"], "x": 1}'),
    "a long one": signed(SECRET, name="x" * 20_000),
    "one letter": "x",
    "dots": "...",
    "two parts": "a.b",
    "bytes beyond ascii": "ä€😀.ü.ö".encode(),
    "bytes that are no utf-8": b"\xff\xfe\x80.\xc3.\x28",
    "a key that is none": "sk-caret-api-" + "x" * 43,
    "the beginning of a key": "sk-caret-api-",
    "a key of strange bytes": b"sk-caret-api-\xff\xfe\xf0",
}


@pytest.mark.parametrize("credential", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_a_bad_credential_is_a_401_everywhere(http: httpx.AsyncClient, credential: str | bytes) -> None:
    operation = {"query": "{ models { id } }"}
    for method, path, body in (
        ("GET", WHERE, None),
        ("GET", f"/api/v1/ai/conversations?document_id={new_id()}", None),
        ("POST", "/graphql", operation),
    ):
        answer = await http.request(method, path, json=body, headers=bearer(credential))
        assert answer.status_code == 401, (path, answer.text)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "Traceback" not in answer.text
        assert SECRET not in answer.text


async def test_no_credential_is_a_401_with_its_own_code(http: httpx.AsyncClient) -> None:
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
        answer = await http.get(WHERE, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "missing_api_key")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    [error] = (await http.post("/graphql", json={"query": ME})).json()["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("payload", [{}, {"Authorization": "Bearer x"}, {"Authorization": 5}, {"X-API-Key": "x"}])
async def test_a_socket_needs_a_credential(server: RunningServer, payload: dict[str, Any]) -> None:
    async with websockets.connect(server.ws_url, subprotocols=[PROTOCOL]) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


async def test_a_new_users_concurrent_requests_make_one_workspace(
    server: RunningServer, database: AsyncEngine, http: httpx.AsyncClient
) -> None:
    user_id = uuid.uuid4()
    headers = bearer(token(user_id))
    rest = [http.get(WHERE, headers=headers) for _ in range(10)]
    graphql = [http.post("/graphql", json={"query": ME}, headers=headers) for _ in range(10)]
    answers = [answer.json() for answer in await asyncio.gather(*rest, *graphql)]
    workspace_ids = {
        one["workspace"]["id"] if "workspace" in one else one["data"]["viewer"]["workspace"]["id"] for one in answers
    }
    assert len(workspace_ids) == 1
    me = (await http.get(WHERE, headers=headers)).json()
    assert me["user"] == {
        "id": str(user_id),
        "name": str(user_id),
        "email": f"{user_id}@people.example",
        "profileUrl": None,
    }
    assert (me["role"], me["plan"], me["workspace"]["name"]) == ("admin", "free", f"{user_id}'s workspace")
    async with database.connect() as connection:
        rows = await connection.execute(text("SELECT workspace_id FROM members WHERE user_id = :u"), {"u": user_id})
        assert {str(row.workspace_id) for row in rows} == workspace_ids
        named = {"name": f"{user_id}'s workspace"}
        workspaces = await connection.execute(text("SELECT count(*) FROM workspaces WHERE name = :name"), named)
        assert workspaces.scalar_one() == 1


async def test_a_user_selects_one_of_their_workspaces(
    tenant: Tenant, stranger: Tenant, http: httpx.AsyncClient
) -> None:
    user = await tenant.user()
    assert user.user_id is not None
    async with stranger.database.begin() as connection:
        await credentials.add_member(Transaction(connection), stranger.id, user.user_id, Role.MEMBER)
    for requested, expected in ((None, tenant.id), (tenant.id, tenant.id), (stranger.id, stranger.id)):
        headers = {} if requested is None else {"X-Workspace-Id": str(requested)}
        assert (await user.http.get(WHERE, headers=headers)).json()["workspace"]["id"] == str(expected)
        answer = await user.http.post("/graphql", json={"query": ME}, headers=headers)
        assert answer.json()["data"]["viewer"]["workspace"]["id"] == str(expected)


async def test_another_workspace_is_refused_like_one_that_does_not_exist(tenant: Tenant, stranger: Tenant) -> None:
    user, key = await tenant.user(), await tenant.key()
    for send in (rest_me, graphql_me):
        refusals = set()
        for requested in (stranger.id, uuid.uuid4(), new_id()):
            answer = await send(user, str(requested))
            assert answer.status_code == 403
            body = answer.json()
            body.get("errors", [{}])[0].get("extensions", {}).pop("requestId", None)
            refusals.add(json.dumps(body).replace(str(requested), "<id>"))
            # A key has one workspace, whatever the header selects.
            assert str(tenant.id) in (await send(key, str(requested))).text
        assert len(refusals) == 1
        for malformed in ("x", "", "' OR 1=1", str(stranger.id) + "0"):
            assert (await send(user, malformed)).status_code == 400, malformed


async def rest_me(caller: Caller, workspace: str) -> httpx.Response:
    return await caller.http.get(WHERE, headers={"X-Workspace-Id": workspace})


async def graphql_me(caller: Caller, workspace: str) -> httpx.Response:
    return await caller.http.post("/graphql", json={"query": ME}, headers={"X-Workspace-Id": workspace})


async def test_a_key_is_sent_in_either_header_and_bearer_wins(
    tenant: Tenant, stranger: Tenant, http: httpx.AsyncClient
) -> None:
    ours, theirs = (await tenant.key()).credential, (await stranger.key()).credential
    both = {**bearer(ours), "X-API-Key": theirs}
    for headers, expected in (
        (bearer(ours), tenant),
        ({"X-API-Key": ours}, tenant),
        (both, tenant),
        ({"Authorization": "Basic eDp5", "X-API-Key": theirs}, stranger),
        ({"Authorization": f"bEaReR  {ours}"}, tenant),
    ):
        me = (await http.get(WHERE, headers=headers)).json()
        assert (me["workspace"]["id"], me["user"]) == (str(expected.id), None)
        answer = await http.post("/graphql", json={"query": ME}, headers=headers)
        assert answer.json()["data"]["viewer"]["workspace"]["id"] == str(expected.id)
    wrong = {**bearer("x"), "X-API-Key": ours}
    assert (await http.get(WHERE, headers=wrong)).status_code == 401
    assert (await http.post("/graphql", json={"query": ME}, headers=wrong)).status_code == 401


async def test_a_key_is_stored_as_a_digest(tenant: Tenant, database: AsyncEngine) -> None:
    key = (await tenant.key()).credential
    async with database.connect() as connection:
        query = text("SELECT * FROM api_keys WHERE workspace_id = :w")
        [row] = await connection.execute(query, {"w": tenant.id})
    assert row.prefix == key[:17]
    assert key[17:] not in str(row)
    assert row.digest == credentials.hash_key(key)
