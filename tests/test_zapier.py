"""The address at which Zapier comes and goes."""

from typing import Any

import pytest
from sqlalchemy import text

from models import Role
from models.base import new_id
from models.webhook import MAX_URL
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.rest import EdgeResult
from tests.support.samples import sql
from tests.support.webhooks import URL, Edge, bodies


@pytest.fixture
async def admin(tenant: Tenant) -> Caller:
    return await tenant.user(Role.ADMIN)


ZAPIER = "/v1/integrations/zapier/webhook"


async def zapped(caller: Caller, method: str, url: Any, **more: Any) -> tuple[int, Any]:
    answer = await caller.http.request(method, ZAPIER, json={"hookUrl": url, **more})
    return answer.status_code, answer.json()


async def test_zapier_comes_and_goes(tenant: Tenant, admin: Caller) -> None:
    ours = (await Edge("rest", admin).create(isActive=False)).thing
    ours.pop("secret")
    for _ in range(2):
        assert await zapped(admin, "POST", URL) == (201, {"status": "success"})
    async with tenant.database.connect() as connection:
        query = "SELECT id, url, events, is_active FROM webhooks WHERE is_zapier AND workspace_id = :id"
        [hook] = await connection.execute(text(query), {"id": tenant.id})
    assert tuple(hook)[1:] == (URL, ["note.created"], True)
    assert await Edge("rest", admin).listed() == [ours]
    # No test: it would be taken for a note.
    note = (await admin.http.post("/v1/notes", json={"title": "x"})).json()["note"]
    [body] = await bodies(tenant, str(hook.id))
    assert (body["type"], body["payload"]) == ("note.created", {"note": note})
    await sql(
        tenant.database, "UPDATE webhooks SET is_active = false, disabled_reason = 'x' WHERE id = :id", id=hook.id
    )
    assert (await zapped(admin, "POST", URL))[0] == 201
    assert (await Edge("rest", admin).get(str(hook.id)))["isActive"] is True
    assert await zapped(admin, "DELETE", URL) == (200, {"status": "success"})
    assert (await zapped(admin, "DELETE", URL))[0] == 404
    assert await Edge("rest", admin).get(str(hook.id)) is None
    assert await Edge("rest", admin).listed() == [ours]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_zapier_is_refused_by_name(tenant: Tenant, stranger: Tenant, admin: Caller, method: str) -> None:
    await zapped(await stranger.key(), "POST", URL)
    for caller in (await tenant.user(), await tenant.key("notes"), await tenant.key("webhooks:read")):
        assert (await zapped(caller, method, URL))[0] == 403
    for url in (5, "", None, "x" * (MAX_URL + 1)):
        status, body = await zapped(admin, method, url)
        assert (status, body["error"]["param"]) == (400, "hookUrl")
    assert (await zapped(admin, method, URL, more=1))[1]["error"]["param"] == "more"
    for content in (b"", b"{", b"[]"):
        assert (await admin.http.request(method, ZAPIER, content=content)).status_code == 400
    if method == "POST":
        for url in ("http://hooks.example", "https://10.0.0.1"):
            status, body = await zapped(admin, method, url)
            assert (status, body["error"]["param"]) == (400, "hookUrl")
    else:
        assert (await zapped(admin, method, URL))[0] == 404


@pytest.mark.parametrize("name", ["graphql", "rest"])
async def test_the_address_of_a_hook_stays(tenant: Tenant, admin: Caller, name: str) -> None:
    """Its id is known from what it is told, and everything else may be changed."""
    edge = Edge(name, admin)
    await zapped(admin, "POST", URL)
    [hook] = await hooks(tenant)
    assert await edge.update(str(hook.id), url="https://other.example") == EdgeResult(
        code="BAD_USER_INPUT", field="url"
    )
    assert (await edge.update(str(hook.id), label="x")).thing["url"] == URL


async def test_hooks_of_one_address(tenant: Tenant, admin: Caller) -> None:
    for _ in range(2):
        await sql(
            tenant.database,
            """INSERT INTO webhooks (id, workspace_id, url, events, is_zapier, is_active, secret)
            VALUES (:id, :workspace, :url, '{note.created}', true, false, 'x')""",
            id=new_id(),
            workspace=tenant.id,
            url=URL,
        )
    assert (await zapped(admin, "POST", URL))[0] == 201
    assert [hook.is_active for hook in await hooks(tenant)] == [True, True]
    assert (await zapped(admin, "DELETE", URL))[0] == 200
    assert await hooks(tenant) == []


async def test_a_hook_comes_again_after_it_went(tenant: Tenant, admin: Caller) -> None:
    """Whatever key its request has."""
    admin.http.headers["Idempotency-Key"] = "same"
    for method in ("POST", "DELETE", "POST"):
        assert (await zapped(admin, method, URL))[0] < 300
    assert len(await hooks(tenant)) == 1


async def test_who_may_not_learns_nothing_of_an_address(tenant: Tenant) -> None:
    key = await tenant.key("notes")
    for url in (URL, "https://10.0.0.1"):
        assert (await zapped(key, "POST", url))[0] == 403


async def hooks(tenant: Tenant) -> list[Any]:
    async with tenant.database.connect() as connection:
        query = "SELECT id, is_active FROM webhooks WHERE is_zapier AND workspace_id = :id"
        return list(await connection.execute(text(query), {"id": tenant.id}))
