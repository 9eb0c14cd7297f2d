"""API keys by GraphQL: made, listed, revoked, and never more than who made them."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert

from models import ApiKey, Role
from models.base import new_id
from models.people import MAX_NAME, MAX_SCOPES
from resolvers.auth.access import SCOPES
from resolvers.auth.credentials import API_KEY_PREFIX
from resolvers.workspaces.api_keys import MAX_KEYS
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.rest import EdgeResult, send_mutation

FIELDS = "{ id name prefix scopes createdAt lastUsedAt revokedAt }"
LIST = f"{{ apiKeys {FIELDS} }}"
CREATE_KEY = f"mutation($input: CreateApiKeyInput!) {{ createApiKey(input: $input) {{ apiKey {FIELDS} key }} }}"
REVOKE = f"mutation($id: ID!) {{ revokeApiKey(id: $id) {FIELDS} }}"
ALL = sorted(SCOPES)


async def make(caller: Caller, **fields: Any) -> EdgeResult:
    return await send_mutation(caller, CREATE_KEY, input={"name": "New", **fields})


async def own_id(key: Caller) -> str:
    return str((await key.data("{ viewer { apiKey { id } } }"))["viewer"]["apiKey"]["id"])


async def test_a_key_works_from_its_creation_to_its_revocation(tenant: Tenant) -> None:
    admin = await tenant.user(Role.ADMIN)
    created = (await make(admin, name=" Zapier ", scopes=["notes:read", "users"])).thing
    api_key, key = created["apiKey"], created["key"]
    assert api_key == {
        "id": api_key["id"],
        "name": "Zapier",
        "prefix": key[:17],
        "scopes": ["notes:read", "users"],
        "createdAt": api_key["createdAt"],
        "lastUsedAt": None,
        "revokedAt": None,
    }
    assert key.startswith(API_KEY_PREFIX)
    assert len(key) == len(API_KEY_PREFIX) + 43
    full = (await make(admin)).thing["apiKey"]
    none = (await make(admin, scopes=[])).thing["apiKey"]
    assert (full["scopes"], none["scopes"]) == (ALL, [])
    listed = (await admin.data(LIST))["apiKeys"]
    assert listed == [none, full, api_key]
    assert key[17:] not in str(listed)
    works = tenant._caller(key, None)
    assert (await works.http.get("/v1/notes")).status_code == 200
    assert (await works.http.get("/v1/me")).json()["scopes"] == ["notes:read", "users"]
    revoked = (await send_mutation(admin, REVOKE, id=api_key["id"])).thing
    assert revoked["revokedAt"] is not None
    assert (await works.http.get("/v1/notes")).status_code == 401
    # Again is no change, and the list keeps it.
    assert (await send_mutation(admin, REVOKE, id=api_key["id"])).thing == revoked
    assert [one["id"] for one in (await admin.data(LIST))["apiKeys"]] == [none["id"], full["id"], api_key["id"]]
    assert [one["revokedAt"] for one in (await admin.data(LIST))["apiKeys"]] == [None, None, revoked["revokedAt"]]


BAD: list[tuple[str, Any]] = [
    ("name", ""),
    ("name", " "),
    ("name", "x" * (MAX_NAME + 1)),
    ("name", "nul\x00"),
    ("scopes", ["everything"]),
    ("scopes", ["notes", "users:write"]),
    ("scopes", [""]),
    ("scopes", ["notes"] * (MAX_SCOPES + 1)),
    ("scopes.0", ["\x00"]),
]


@pytest.mark.parametrize(("field", "value"), BAD)
async def test_a_wrong_value_is_refused_with_its_field(tenant: Tenant, field: str, value: Any) -> None:
    admin = await tenant.user(Role.ADMIN)
    assert await make(admin, **{field.partition(".")[0]: value}) == EdgeResult(code="BAD_USER_INPUT", field=field)
    assert (await admin.data(LIST))["apiKeys"] == []


async def test_the_longest_name_is_accepted(tenant: Tenant) -> None:
    name = "🙂" * MAX_NAME
    assert (await make(await tenant.key(), name=name)).thing["apiKey"]["name"] == name


async def test_only_admins_manage_keys(tenant: Tenant, stranger: Tenant) -> None:
    admin, member = await tenant.user(Role.ADMIN), await tenant.user()
    key = (await make(admin)).thing["apiKey"]
    reader, other_scopes = await tenant.key("users:read"), await tenant.key("notes", "folders", "webhooks")
    for caller, code in ((member, "FORBIDDEN"), (other_scopes, "INSUFFICIENT_SCOPE")):
        assert await caller.code(LIST) == code
    for caller, code in ((member, "FORBIDDEN"), (other_scopes, "INSUFFICIENT_SCOPE"), (reader, "INSUFFICIENT_SCOPE")):
        assert (await make(caller)).code == code
        assert (await send_mutation(caller, REVOKE, id=key["id"])).code == code
    assert key in (await reader.data(LIST))["apiKeys"]
    for outsider in (await stranger.user(Role.ADMIN), await stranger.key()):
        for ident in (key["id"], str(uuid4()), "nobody"):
            assert (await send_mutation(outsider, REVOKE, id=ident)).code == "NOT_FOUND"
        assert key not in (await outsider.data(LIST))["apiKeys"]
    assert (await send_mutation(await tenant.key("users"), REVOKE, id=key["id"])).thing["revokedAt"] is not None


@pytest.mark.parametrize(
    ("scopes", "is_created"),
    [
        (["users"], True),
        (["users:read"], True),
        (["notes:read", "users"], True),
        ([], True),
        (["notes"], False),
        (["users", "notes"], False),
        (["webhooks:read"], False),
        (None, False),
    ],
)
async def test_a_key_creates_no_key_with_more_scopes_than_its_own(
    tenant: Tenant, scopes: list[str] | None, is_created: bool
) -> None:
    key = await tenant.key("users", "notes:read")
    result = await make(key, scopes=scopes)
    assert result.code == (None if is_created else "INSUFFICIENT_SCOPE")
    assert len((await key.data(LIST))["apiKeys"]) == (2 if is_created else 1)


async def test_a_key_revokes_itself_whatever_its_scopes(tenant: Tenant) -> None:
    key, other = await tenant.key("notes:read"), await tenant.key()
    ident = await own_id(key)
    assert (await send_mutation(key, REVOKE, id=await own_id(other))).code == "INSUFFICIENT_SCOPE"
    assert (await send_mutation(key, REVOKE, id=ident)).thing["id"] == ident
    assert (await key.http.get("/v1/notes")).status_code == 401
    assert (await other.http.get("/v1/notes")).status_code == 200


async def test_the_number_of_live_keys_is_limited(tenant: Tenant) -> None:
    admin = await tenant.user(Role.ADMIN)
    rows = [
        {"id": new_id(), "workspace_id": tenant.id, "name": "x", "prefix": "x", "digest": uuid4().bytes}
        for _ in range(MAX_KEYS - 1)
    ]
    async with tenant.database.begin() as connection:
        await connection.execute(insert(ApiKey), rows)
    results = await asyncio.gather(*(make(admin) for _ in range(3)))
    assert sorted(one.code or "made" for one in results) == ["UNPROCESSABLE"] * 2 + ["made"]
    await send_mutation(admin, REVOKE, id=str(rows[0]["id"]))
    assert (await make(admin)).code is None
    assert len((await admin.data(LIST))["apiKeys"]) == MAX_KEYS + 1
