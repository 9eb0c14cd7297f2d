"""Who is let in to `/v1`, as whom, and what they are told of themselves."""

import uuid
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from models import Role
from tests.conftest import Tenant, token
from tests.rest.responses import NEVER, NOTES, ordered, status_and_body, v1_error
from tests.support.clients import Caller

MISSING = v1_error(401, "missing_api_key", "Authentication is required: send Authorization: Bearer <key or token>.")
UNKNOWN = v1_error(401, "invalid_api_key", "This API key is unknown or was revoked.")


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, MISSING),
        ({"Authorization": "Bearer"}, MISSING),
        ({"Authorization": "Basic sk-caret-api-x"}, MISSING),
        ({"X-API-Key": ""}, MISSING),
        ({"Authorization": "Bearer sk-caret-api-x"}, UNKNOWN),
        ({"X-API-Key": "sk-caret-api-x"}, UNKNOWN),
        ({"Authorization": "Bearer sk-caret-api-x", "X-API-Key": "{key}"}, UNKNOWN),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", NOTES), ("POST", NOTES), ("GET", f"{NOTES}/x"), ("GET", "/v1/me")]
)
async def test_a_missing_or_unknown_credential_is_refused(
    tenant: Tenant, method: str, path: str, headers: dict[str, str], refused: tuple[int, Any]
) -> None:
    key, nobody = await tenant.key(), Caller(tenant.server, "")
    sent = {name: value.format(key=key.credential) for name, value in headers.items()}
    answer = await nobody.http.request(method, path, headers=sent)
    assert status_and_body(answer) == refused
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    await nobody.close()


async def test_a_revoked_key_is_refused(tenant: Tenant, database: AsyncEngine) -> None:
    key = await tenant.key()
    assert (await key.http.get("/v1/me")).status_code == 200
    async with database.begin() as connection:
        await connection.execute(text(f"UPDATE api_keys SET revoked_at = now() WHERE workspace_id = '{tenant.id}'"))
    assert status_and_body(await key.http.get("/v1/me")) == UNKNOWN


async def test_invalid_and_expired_tokens_are_refused(tenant: Tenant) -> None:
    for credential in ("x", "a.b.c", token(uuid.uuid4(), lifetime=-60)):
        nobody = Caller(tenant.server, credential)
        status, body = status_and_body(await nobody.http.get("/v1/me"))
        assert (status, body) == v1_error(401, "invalid_api_key", body["message"])
        await nobody.close()


async def test_a_key_without_the_scope_is_refused(tenant: Tenant) -> None:
    http = (await tenant.key("notes:read")).http
    assert ordered(await http.get(NOTES)) == []
    refused = v1_error(403, "insufficient_scope", "This API key lacks the scope notes.")
    assert status_and_body(await http.post(NOTES, json={"title": "x"})) == refused
    assert status_and_body(await http.patch(f"{NOTES}/{NEVER}", json={"title": "x"})) == refused
    assert status_and_body(await http.delete(f"{NOTES}/{NEVER}")) == refused
    blind = (await tenant.key("folders")).http
    refused = v1_error(403, "insufficient_scope", "This API key lacks the scope notes:read.")
    assert status_and_body(await blind.get(NOTES)) == refused
    assert status_and_body(await blind.get(f"{NOTES}/{NEVER}")) == refused


async def test_a_user_chooses_one_of_their_workspaces(tenant: Tenant, stranger: Tenant) -> None:
    http = (await tenant.user()).http
    own = await http.get("/v1/me", headers={"X-Workspace-Id": str(tenant.id)})
    assert (own.status_code, own.json()["workspace"]["id"]) == (200, str(tenant.id))
    foreign = await http.get("/v1/me", headers={"X-Workspace-Id": str(stranger.id)})
    assert status_and_body(foreign) == v1_error(403, "forbidden", f"You are not a member of workspace {stranger.id}.")
    none = await http.get("/v1/me", headers={"X-Workspace-Id": "x"})
    message = "X-Workspace-Id must be the id of a workspace."
    assert status_and_body(none) == v1_error(400, "invalid_parameter", message, "X-Workspace-Id")


async def test_me_describes_an_api_key(tenant: Tenant) -> None:
    key = await tenant.key("notes", "users:read")
    status, body = status_and_body(await key.http.get("/v1/me"))
    api_key = body["apiKey"]
    assert (status, body) == (
        200,
        {
            "apiKey": {
                "id": str(uuid.UUID(api_key["id"])),
                "name": "test",
                "prefix": key.credential[: len(api_key["prefix"])],
                "createdAt": api_key["createdAt"],
            },
            "user": None,
            "role": "admin",
            "workspace": {"id": str(tenant.id), "name": body["workspace"]["name"]},
            "plan": "enterprise",
            "scopes": ["notes", "users:read"],
        },
    )
    assert body["workspace"]["name"].startswith("Workspace ")


async def test_me_describes_a_user(tenant: Tenant) -> None:
    person = await tenant.user(Role.MEMBER, "Ada")
    status, body = status_and_body(await person.http.get("/v1/me"))
    user = {
        "id": str(person.user_id),
        "name": "Ada",
        "email": f"{person.user_id}@people.example",
        "profileUrl": None,
    }
    assert (status, body) == (
        200,
        {
            "apiKey": None,
            "user": user,
            "role": "member",
            "workspace": {"id": str(tenant.id), "name": body["workspace"]["name"]},
            "plan": "enterprise",
            "scopes": ["folders", "notes", "users", "webhooks"],
        },
    )
