"""Webhooks by both edges: who manages them, and what is never told."""

import asyncio
from base64 import b64decode
from typing import Any

import pytest
from sqlalchemy import text

from models import Role
from models.base import as_id
from models.webhook import MAX_URL
from resolvers.webhooks.endpoints import MAX_WEBHOOKS
from resolvers.webhooks.events import EVENT_NAMES
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.rest import EdgeResult
from tests.support.samples import sql
from tests.support.webhooks import GET, LIST, URL, Edge, rows


@pytest.fixture
async def admin(tenant: Tenant) -> Caller:
    return await tenant.user(Role.ADMIN)


@pytest.fixture(params=["graphql", "rest"])
def edge(request: pytest.FixtureRequest, admin: Caller) -> Edge:
    return Edge(request.param, admin)


async def test_a_webhooks_life(edge: Edge, tenant: Tenant) -> None:
    webhook = (await edge.create(label="Ours", events=["note.created", "meeting.audio_uploaded", "note.created"])).thing
    secret = webhook.pop("secret")
    assert webhook == {
        "id": webhook["id"],
        "url": URL,
        "label": "Ours",
        # Each once, in the order in which they came.
        "events": ["note.created", "meeting.audio_uploaded"],
        "isActive": True,
        "disabledReason": None,
        "createdAt": webhook["createdAt"],
    }
    assert secret.startswith("whsec_")
    assert len(b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    other = (await edge.create(isActive=False)).thing
    assert other.pop("secret") != secret
    assert await edge.listed() == [other, webhook]
    assert await edge.get(webhook["id"]) == webhook
    changed = {
        **webhook,
        "url": "https://else.example:8443/x?y=1",
        "label": None,
        "events": ["test"],
        "isActive": False,
    }
    sent = {name: changed[name] for name in ("url", "label", "events", "isActive")}
    assert (await edge.update(webhook["id"], **sent)).thing == changed
    assert (await edge.update(webhook["id"])).thing == changed == await edge.get(webhook["id"])
    await sql(tenant.database, "UPDATE webhooks SET disabled_reason = 'Gone' WHERE id = :id", id=as_id(webhook["id"]))
    assert (await edge.get(webhook["id"]))["disabledReason"] == "Gone"
    # To switch it on again forgets why it was off.
    assert (await edge.update(webhook["id"], isActive=True)).thing == {**changed, "isActive": True}
    assert (await edge.delete(webhook["id"])).thing == webhook["id"]
    assert await edge.get(webhook["id"]) is None
    assert await edge.listed() == [other]
    assert (await edge.delete(webhook["id"])).code == (await edge.update(webhook["id"])).code == "NOT_FOUND"


async def test_a_secret_is_returned_once_and_stored_encrypted(edge: Edge, tenant: Tenant) -> None:
    first = (await edge.create()).thing
    second = (await edge.rotate(first["id"])).thing
    assert second == {**first, "secret": second["secret"]}
    assert second["secret"] != first["secret"]
    responses = (
        f"{await edge.listed()} {await edge.get(first['id'])} {(await edge.update(first['id'], label='x')).thing}"
    )
    async with tenant.database.connect() as connection:
        stored = (
            await connection.execute(text("SELECT * FROM webhooks WHERE id = :id"), {"id": as_id(first["id"])})
        ).one()
    assert stored.previous_secret is not None
    assert (stored.previous_until - stored.updated_at).total_seconds() > 23 * 3600
    everywhere = f"{responses} {tuple(stored)} {tenant.server.lines}"
    for secret in (first["secret"], second["secret"]):
        assert secret not in everywhere
        assert secret.removeprefix("whsec_") not in everywhere


BAD: list[tuple[str, Any]] = [
    ("url", ""),
    ("url", "x" * (MAX_URL + 1)),
    ("url", f"https://x.example/{'x' * (MAX_URL - 17)}"),
    ("url", "http://hooks.example"),
    ("url", "ftp://hooks.example"),
    ("url", "hooks.example"),
    ("url", "https://"),
    ("url", "https://user:password@hooks.example"),
    ("url", "https://hooks.example/#part"),
    ("url", "https://hooks.example:0"),
    ("url", "https://hooks.example:65536"),
    ("url", "https://127.0.0.1/x"),
    ("url", "https://localhost"),
    ("url", "https://10.0.0.1"),
    ("url", "https://[::1]"),
    ("url", "https://2130706433"),
    ("url", "https://nul\x00.example"),
    ("label", "x" * 501),
    ("events", []),
    ("events", ["test"] * (len(EVENT_NAMES) + 1)),
    ("events.0", ["note.indexed"]),
    ("events.1", ["test", ""]),
]


@pytest.mark.parametrize(("field", "value"), BAD)
async def test_bad_values_are_refused_by_name(edge: Edge, field: str, value: Any) -> None:
    refused, sent = EdgeResult(code="BAD_USER_INPUT", field=field), {field.partition(".")[0]: value}
    assert await edge.create(**sent) == refused
    assert await edge.listed() == []
    webhook = (await edge.create(isActive=False)).thing
    assert await edge.update(webhook["id"], **sent) == refused


async def test_nulls_clear_the_label_alone(edge: Edge) -> None:
    webhook = (await edge.create(label="x", isActive=False)).thing["id"]
    for name in ("url", "events", "isActive"):
        assert await edge.update(webhook, **{name: None}) == EdgeResult(code="BAD_USER_INPUT", field=name)
    assert (await edge.update(webhook, label=None)).thing["label"] is None


async def test_the_longest_values(edge: Edge) -> None:
    url, label = f"https://x.example/{'x' * (MAX_URL - 18)}", "🙂" * 500
    events = list(EVENT_NAMES)
    webhook = (await edge.create(url=url, label=label, events=events, isActive=False)).thing
    assert (webhook["url"], webhook["label"], webhook["events"]) == (url, label, events)


async def test_a_workspace_has_so_many(edge: Edge) -> None:
    for _ in range(MAX_WEBHOOKS - 2):
        await edge.create(isActive=False)
    hook = await edge.caller.http.post("/v1/integrations/zapier/webhook", json={"hookUrl": URL})
    assert hook.status_code == 201
    results = await asyncio.gather(*(edge.create(isActive=False) for _ in range(3)))
    assert sorted(one.code or "made" for one in results) == ["UNPROCESSABLE"] * 2 + ["made"]


async def test_admins_only(tenant: Tenant, stranger: Tenant, admin: Caller) -> None:
    ident = (await Edge("rest", admin).create()).thing["id"]
    [test] = await rows(tenant, ident)
    callers = {
        "FORBIDDEN": await tenant.user(),
        "INSUFFICIENT_SCOPE": await tenant.key("notes", "folders", "users"),
        "NOT_FOUND": await stranger.user(Role.ADMIN),
    }
    for name in ("graphql", "rest"):
        for code, caller in callers.items():
            edge = Edge(name, caller)
            asks = (edge.update(ident, label="x"), edge.rotate(ident), edge.test(ident))
            results = [
                *await asyncio.gather(*asks),
                await edge.redeliver(ident, str(test.id)),
                await edge.delete(ident),
            ]
            assert {one.code for one in results} == {code}, (name, code, results)
            if code == "NOT_FOUND":
                assert await edge.listed() == []
            else:
                assert (await edge.create()).code == code
                assert await caller.code(LIST) == code
                assert (await caller.http.get("/v1/webhooks")).status_code == 403
            assert (await caller.http.get(f"/v1/webhooks/{ident}")).status_code == (404 if code == "NOT_FOUND" else 403)
            deliveries = await caller.http.get(f"/v1/webhooks/{ident}/deliveries")
            assert deliveries.status_code == (404 if code == "NOT_FOUND" else 403)
        reader = Edge(name, await tenant.key("webhooks:read"))
        assert (await reader.listed())[-1]["id"] == ident
        assert (await reader.get(ident))["id"] == ident
        assert (await reader.create()).code == (await reader.test(ident)).code == "INSUFFICIENT_SCOPE"
        assert (await reader.rotate(ident)).code == (await reader.delete(ident)).code == "INSUFFICIENT_SCOPE"
        writer = Edge(name, await tenant.key("webhooks"))
        assert (await writer.create(isActive=False)).code is None
        assert await callers["FORBIDDEN"].data(GET, id=ident) == {"webhook": None}
    assert (await callers["FORBIDDEN"].data("{ viewer { scopes } webhookEvents }"))["webhookEvents"][
        0
    ] == "note.created"


async def test_the_events_there_are(admin: Caller) -> None:
    results = await admin.data("{ webhookEvents }")
    assert results == {"webhookEvents": list(EVENT_NAMES)}


async def test_a_repeated_create_returns_the_same_webhook(edge: Edge) -> None:
    fields = {"label": "Once", "isActive": False}
    first = await edge.create(idempotency_key="once", **fields)
    assert first.thing["secret"].startswith("whsec_")
    assert await edge.create(idempotency_key="once", **fields) == first
    assert len(await edge.listed()) == 1
    assert (await edge.create(idempotency_key="once", **{**fields, "label": "Other"})).code == "UNPROCESSABLE"
    assert (await edge.create(idempotency_key="", **fields)).code == "BAD_USER_INPUT"
    assert (await edge.create(idempotency_key="again", **fields)).thing["id"] != first.thing["id"]


async def test_a_repeat_does_not_return_a_newer_secret(tenant: Tenant, admin: Caller) -> None:
    body, once = {"url": URL, "events": ["note.deleted"], "isActive": False}, {"Idempotency-Key": "same"}

    async def create() -> tuple[int, Any]:
        answer = await admin.http.post("/v1/webhooks", json=body, headers=once)
        return answer.status_code, answer.json()

    status, results = await create()
    assert (status, await create()) == (201, (201, results))
    ident = results["webhook"]["id"]
    await sql(tenant.database, "UPDATE webhooks SET secret = 'another key''s' WHERE id = :id", id=as_id(ident))
    unopened = await create()
    assert (unopened[0], unopened[1]["code"]) == (409, "conflict")
    rotated = (await Edge("rest", admin).rotate(ident)).thing["secret"]
    status, results = await create()
    assert (status, results["code"]) == (409, "conflict")
    assert rotated not in str(results)
