"""The workspace itself at both edges: what everybody reads and its admins change."""

import asyncio
from typing import Any

import pytest

from models import Role
from models.settings import MAX_DOMAINS, MAX_ICON_URL, MAX_WORKSPACE_NAME
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.rest import EdgeResult, send_mutation, send_rest
from tests.support.samples import sql
from tests.test_edges import millis

SHOWN = """{
  id name createdAt updatedAt iconUrl allowedEmailDomains
  settings { defaultLanguage brandColor enableTranscriptSharing }
}"""
READ = f"{{ workspace {SHOWN} }}"
CHANGE = f"mutation($input: UpdateWorkspaceInput!) {{ updateWorkspace(input: $input) {SHOWN} }}"
DEFAULTS = {"defaultLanguage": "en", "brandColor": "#111827", "enableTranscriptSharing": True}


class GraphQLWorkspace:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def get(self) -> Any:
        return as_v1((await self.caller.data(READ))["workspace"])

    async def update(self, **fields: Any) -> EdgeResult:
        told = await send_mutation(self.caller, CHANGE, input=fields)
        return told if told.code else EdgeResult(as_v1(told.value))


class RestWorkspace:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def get(self) -> Any:
        answer = (await self.caller.http.get("/v1/workspace")).json()
        assert list(answer) == ["workspace"]
        return answer["workspace"]

    async def update(self, **fields: Any) -> EdgeResult:
        return await send_rest(self.caller, "PATCH", "/v1/workspace", fields)


Edge = GraphQLWorkspace | RestWorkspace


def as_v1(workspace: dict[str, Any]) -> dict[str, Any]:
    return {**workspace, **{name: millis(workspace[name]) for name in ("createdAt", "updatedAt")}}


@pytest.fixture(params=[GraphQLWorkspace, RestWorkspace], ids=["graphql", "rest"])
def way(request: pytest.FixtureRequest) -> type[Edge]:
    kind: type[Edge] = request.param
    return kind


@pytest.fixture
async def edge(way: type[Edge], tenant: Tenant) -> Edge:
    return way(await tenant.user(Role.ADMIN))


async def test_a_workspace_is_the_same_at_both(edge: Edge) -> None:
    other = RestWorkspace(edge.caller) if isinstance(edge, GraphQLWorkspace) else GraphQLWorkspace(edge.caller)
    before = await edge.get()
    plain: dict[str, Any] = {"settings": DEFAULTS, "allowedEmailDomains": [], "iconUrl": None}
    moments = {name: before[name] for name in ("createdAt", "updatedAt")}
    assert before == {"id": before["id"], "name": before["name"], **moments, **plain}
    assert (await edge.update()).thing == before == await other.get()
    full = {
        "name": " Ünï \n",
        "settings": {"defaultLanguage": "zh-Hant-TW", "brandColor": "#AbCdEf", "enableTranscriptSharing": False},
        "allowedEmailDomains": ["Example.COM", "xn--bcher-kva.example", "example.com"],
        "iconUrl": "https://cdn.example.com:8443/a%20b.png?x=1#y",
    }
    changed = (await edge.update(**full)).thing
    assert changed["updatedAt"] > before["updatedAt"]
    domains = ["example.com", "xn--bcher-kva.example"]
    moments = {"createdAt": before["createdAt"], "updatedAt": changed["updatedAt"]}
    assert changed == {"id": before["id"], **full, "name": "Ünï", "allowedEmailDomains": domains, **moments}
    assert await edge.get() == await other.get() == changed
    # What is not sent stays, also within the settings.
    again = (await other.update(settings={"brandColor": "#000000"}, allowedEmailDomains=[])).thing
    settings = {**changed["settings"], "brandColor": "#000000"}
    assert again == {**changed, "settings": settings, "allowedEmailDomains": [], "updatedAt": again["updatedAt"]}
    cleared = (await edge.update(iconUrl=None)).thing
    assert cleared == {**again, "iconUrl": None, "updatedAt": cleared["updatedAt"]}


BAD: list[tuple[str, dict[str, Any]]] = [
    ("name", {"name": " "}),
    ("name", {"name": "x" * (MAX_WORKSPACE_NAME + 1)}),
    ("name", {"name": "nul\x00"}),
    ("name", {"name": None}),
    ("settings", {"settings": None}),
    ("settings.defaultLanguage", {"settings": {"defaultLanguage": "e"}}),
    ("settings.defaultLanguage", {"settings": {"defaultLanguage": "en_US"}}),
    ("settings.defaultLanguage", {"settings": {"defaultLanguage": "en-" + "abcdefgh-" * 4 + "a"}}),
    ("settings.defaultLanguage", {"settings": {"defaultLanguage": None}}),
    ("settings.brandColor", {"settings": {"brandColor": "red"}}),
    ("settings.brandColor", {"settings": {"brandColor": None}}),
    ("settings.enableTranscriptSharing", {"settings": {"enableTranscriptSharing": None}}),
    ("allowedEmailDomains", {"allowedEmailDomains": None}),
    ("allowedEmailDomains", {"allowedEmailDomains": ["a.example"] * (MAX_DOMAINS + 1)}),
    *(
        ("allowedEmailDomains.1", {"allowedEmailDomains": ["a.example", bad]})
        for bad in ("", "localhost", "@a.example", "a..example", "-a.example", "a.example.", "bücher.example", "a b.c")
    ),
    ("allowedEmailDomains.0", {"allowedEmailDomains": ["x" * 64 + ".example"]}),
    ("allowedEmailDomains.0", {"allowedEmailDomains": ["a." * 126 + "aa"]}),
    *(
        ("iconUrl", {"iconUrl": bad})
        for bad in (
            "",
            "http://a.example/x.png",
            "https://",
            "https:///x.png",
            "https://user:secret@a.example/",
            "javascript:alert(1)",
            "https://a.example/a b",
            "https://a.example/\n",
            "https://a.example\\@b.example",
            "https://a.example/" + "x" * (MAX_ICON_URL - 17),
        )
    ),
]


@pytest.mark.parametrize(("field", "change"), BAD, ids=[f"{number}-{field}" for number, (field, _) in enumerate(BAD)])
async def test_bad_values_are_refused_by_name(edge: Edge, field: str, change: dict[str, Any]) -> None:
    before = await edge.get()
    assert await edge.update(**change) == EdgeResult(code="BAD_USER_INPUT", field=field)
    assert await edge.get() == before


async def test_the_most_that_is_allowed(edge: Edge) -> None:
    domains = [f"{number}." + "a." * 124 + "a" for number in range(MAX_DOMAINS)]
    most = {
        "name": "🙂" * MAX_WORKSPACE_NAME,
        "iconUrl": "https://a.example/" + "x" * (MAX_ICON_URL - 18),
        "allowedEmailDomains": domains,
    }
    language = "en-" + "abcdefgh-" * 3 + "abcde"
    changed = (await edge.update(**most, settings={"defaultLanguage": language})).thing
    assert {name: changed[name] for name in most} == most
    assert changed["settings"] == {**DEFAULTS, "defaultLanguage": language}


async def test_members_read_and_admins_change(way: type[Edge], tenant: Tenant) -> None:
    member, admin, key = way(await tenant.user()), way(await tenant.user(Role.ADMIN)), way(await tenant.key())
    for one in (admin, key):
        changed = (await one.update(name="Changed")).thing
    for change in ({"name": "Mine"}, {}):
        assert await member.update(**change) == EdgeResult(code="FORBIDDEN")
    assert await member.get() == changed


async def test_simultaneous_changes_of_settings_are_all_kept(edge: Edge) -> None:
    wanted = {"defaultLanguage": "de", "brandColor": "#00ff00", "enableTranscriptSharing": False}
    await asyncio.gather(*(edge.update(settings={name: value}) for name, value in wanted.items()))
    assert (await edge.get())["settings"] == wanted


async def test_changes_do_not_hold_up_what_happens_in_the_workspace(edge: Edge) -> None:
    """The workspace's row also numbers its events."""
    write = 'mutation { createNote(input: {title: "A"}) { id } }'
    await asyncio.gather(
        *(edge.update(name=str(number)) for number in range(8)), *(edge.caller.data(write) for _ in range(8))
    )
    assert (await edge.caller.data("{ notes { totalCount } }"))["notes"]["totalCount"] == 8


async def test_a_socket_outlives_the_role_of_its_opener(tenant: Tenant) -> None:
    demoted = await tenant.user(Role.ADMIN)
    async with demoted.socket() as socket:
        rename = 'mutation { updateWorkspace(input: {name: "Mine"}) { name } }'
        [told] = [payload async for payload in socket.subscribe(rename)]
        assert told == {"data": {"updateWorkspace": {"name": "Mine"}}}
        await sql(tenant.database, "UPDATE members SET role = 'member' WHERE user_id = :user", user=demoted.user_id)
        [told] = [payload async for payload in socket.subscribe(rename)]
        assert told["errors"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize(("scope", "status"), [("users", 200), ("users:read", 403), ("notes", 403)])
async def test_the_scope_to_change_it(tenant: Tenant, scope: str, status: int) -> None:
    key = await tenant.key(scope)
    assert (await key.http.get("/v1/workspace")).status_code == 200
    response = await key.http.patch("/v1/workspace", json={"name": "A"})
    assert response.status_code == status
    assert status == 200 or response.json()["code"] == "insufficient_scope"


@pytest.mark.parametrize(
    ("method", "body", "refusal"),
    [
        ("PATCH", {"plan": "enterprise"}, (400, "invalid_parameter", "plan")),
        ("PATCH", {"settings": {"color": "#000000"}}, (400, "invalid_parameter", "settings.color")),
        ("PATCH", {"settings": []}, (400, "invalid_parameter", "settings")),
        ("PATCH", None, (400, "invalid_parameter", None)),
        ("DELETE", None, (405, "method_not_allowed", None)),
    ],
)
async def test_how_rest_refuses(tenant: Tenant, method: str, body: Any, refusal: tuple[int, str, str | None]) -> None:
    admin = await tenant.user(Role.ADMIN)
    response = await admin.http.request(method, "/v1/workspace", json=body)
    answer = response.json()
    assert (response.status_code, answer["code"], answer["error"].get("param")) == refusal
