"""Tags at both edges: made, changed, deleted, and what is refused."""

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import insert

from models import Tag
from models.base import new_id
from models.tag import MAX_TAG_NAME, MAX_WORKSPACE_TAGS
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.rest import EdgeResult, send_mutation, send_rest
from tests.test_edges import millis
from tests.test_main_job import CREATE

SHOWN = "{ id name color createdAt }"
MAKE = f"mutation($input: CreateTagInput!) {{ createTag(input: $input) {SHOWN} }}"
CHANGE = f"mutation($id: ID!, $input: UpdateTagInput!) {{ updateTag(id: $id, input: $input) {SHOWN} }}"
DELETE = "mutation($id: ID!) { deleteTag(id: $id) }"
LIST = f"{{ workspace {{ tags {SHOWN} }} }}"
NOTE = "query($id: ID!) { note(id: $id) { revision tags { id name } } }"
RED = "#Aa00ff"


class GraphQLTags:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def create(self, **fields: Any) -> EdgeResult:
        return await send_mutation(self.caller, MAKE, input=fields)

    async def update(self, ident: str, **fields: Any) -> EdgeResult:
        return await send_mutation(self.caller, CHANGE, id=ident, input=fields)

    async def delete(self, ident: str) -> EdgeResult:
        return await send_mutation(self.caller, DELETE, id=ident)

    async def listed(self) -> list[Any]:
        return list(map(shown, (await self.caller.data(LIST))["workspace"]["tags"]))


class RestTags:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def create(self, **fields: Any) -> EdgeResult:
        return await send_rest(self.caller, "POST", "/v1/workspace/tags", fields)

    async def update(self, ident: str, **fields: Any) -> EdgeResult:
        return await send_rest(self.caller, "PATCH", f"/v1/workspace/tags/{ident}", fields)

    async def delete(self, ident: str) -> EdgeResult:
        return await send_rest(self.caller, "DELETE", f"/v1/workspace/tags/{ident}")

    async def listed(self) -> list[Any]:
        answer = (await self.caller.http.get("/v1/workspace/tags")).json()
        assert list(answer) == ["tags"]
        found: list[Any] = answer["tags"]
        return found


Edge = GraphQLTags | RestTags


def shown(tag: dict[str, Any]) -> dict[str, Any]:
    """A tag of GraphQL in the shape of /v1."""
    return {**tag, "createdAt": millis(tag["createdAt"])}


@pytest.fixture(params=[GraphQLTags, RestTags], ids=["graphql", "rest"])
async def edge(request: pytest.FixtureRequest, tenant: Tenant) -> Edge:
    made: Edge = request.param(await tenant.user())
    return made


async def rows(tenant: Tenant, *names: str) -> list[str]:
    made = [{"id": new_id(), "workspace_id": tenant.id, "name": name, "color": RED} for name in names]
    async with tenant.database.begin() as connection:
        await connection.execute(insert(Tag), made)
    return [str(row["id"]) for row in made]


async def test_a_tags_life_is_the_same_at_both(edge: Edge) -> None:
    other = RestTags(edge.caller) if isinstance(edge, GraphQLTags) else GraphQLTags(edge.caller)
    made = (await edge.create(name="  Über uns \n", color=RED)).thing
    assert made == {"id": made["id"], "name": "Über uns", "color": RED, "createdAt": made["createdAt"]}
    first = (await other.create(name="A", color=RED)).thing
    assert await edge.listed() == await other.listed() == [shown(first), shown(made)]
    assert (await edge.update(made["id"], name="Renamed")).thing == {**made, "name": "Renamed"}
    changed = {**made, "name": "Renamed", "color": "#000000"}
    assert (await edge.update(made["id"], color="#000000")).thing == changed
    # Its own name is not another's, and nothing sent is no change.
    assert (await edge.update(made["id"], name="Renamed")).thing == (await edge.update(made["id"])).thing == changed
    assert (await edge.delete(made["id"])).thing == made["id"]
    for gone in (await edge.delete(made["id"]), await other.update(made["id"], name="B")):
        assert gone.code == "NOT_FOUND"
    assert await other.listed() == [shown(first)]


async def test_a_note_shows_its_tags_as_they_are_now(edge: Edge) -> None:
    tag = (await edge.create(name="Old", color=RED)).thing
    note = (await edge.caller.data(CREATE, input={"title": "A", "tagIds": [tag["id"]]}))["createNote"]["id"]
    await edge.update(tag["id"], name="New")
    named = {"note": {"revision": 1, "tags": [{"id": tag["id"], "name": "New"}]}}
    assert await edge.caller.data(NOTE, id=note) == named
    await edge.delete(tag["id"])
    assert await edge.caller.data(NOTE, id=note) == {"note": {"revision": 1, "tags": []}}


BAD: list[tuple[str, Any]] = [
    ("name", ""),
    ("name", " \t\n "),
    ("name", "x" * (MAX_TAG_NAME + 1)),
    ("name", "nul\x00"),
    ("name", None),
    ("color", "red"),
    ("color", "#12345"),
    ("color", "#1234567"),
    ("color", "#12345g"),
    ("color", "#123456\n"),
    ("color", None),
]


@pytest.mark.parametrize(("field", "value"), BAD)
async def test_bad_values_are_refused_by_name(edge: Edge, tenant: Tenant, field: str, value: Any) -> None:
    [tag] = await rows(tenant, "here")
    refused = EdgeResult(code="BAD_USER_INPUT", field=field)
    # A null that must not be null is refused by GraphQL itself, which names no field.
    by_itself = EdgeResult(code="BAD_USER_INPUT") if value is None and isinstance(edge, GraphQLTags) else refused
    assert await edge.create(**{"name": "A", "color": RED, field: value}) == by_itself
    assert await edge.update(tag, **{field: value}) == refused
    assert [one["name"] for one in await edge.listed()] == ["here"]


async def test_the_longest_name(edge: Edge) -> None:
    name = "🙂" * MAX_TAG_NAME
    assert (await edge.create(name=f" {name} ", color="#ABCDEF")).thing["name"] == name


async def test_a_name_is_there_once_in_a_workspace(edge: Edge, tenant: Tenant, stranger: Tenant) -> None:
    await rows(stranger, "Taken")
    first, second = [(await edge.create(name=name, color=RED)).thing["id"] for name in ("Taken", "taken")]
    taken = EdgeResult(code="ALREADY_EXISTS", field="name")
    assert await edge.create(name=" Taken", color=RED) == taken
    assert await edge.update(second, name="Taken") == taken
    assert [one["id"] for one in await edge.listed()] == [first, second]


async def test_of_many_at_once_one_gets_the_name(edge: Edge) -> None:
    told = await asyncio.gather(*(edge.create(name="Once", color=RED) for _ in range(8)))
    assert sorted(one.code or "made" for one in told) == ["ALREADY_EXISTS"] * 7 + ["made"]
    [tag] = await edge.listed()
    ids = [(await edge.create(name=str(number), color=RED)).thing["id"] for number in range(6)]
    told = await asyncio.gather(*(edge.update(ident, name="Won") for ident in ids))
    assert sorted(one.code or "renamed" for one in told) == ["ALREADY_EXISTS"] * 5 + ["renamed"]
    assert tag["name"] == "Once"


async def test_two_that_take_each_others_names_do_not_wait_for_ever(edge: Edge, tenant: Tenant) -> None:
    a, b = await rows(tenant, "a", "b")
    for _ in range(5):
        told = await asyncio.gather(edge.update(a, name="b"), edge.update(b, name="a"))
        assert {one.code for one in told} == {"ALREADY_EXISTS"}


async def test_a_tag_that_goes_while_notes_take_it(edge: Edge) -> None:
    """Whoever comes second is told that it is unknown; nobody is told of a fault of ours."""
    caller = edge.caller
    note = (await caller.data(CREATE, input={"title": "A"}))["createNote"]["id"]
    for number in range(5):
        tag = (await edge.create(name=str(number), color=RED)).thing["id"]
        changes = [caller.http.patch(f"/v1/notes/{note}", json={"tagIds": [tag]}) for _ in range(4)]
        makes = [caller.http.post("/v1/notes", json={"title": "B", "tagIds": [tag]}) for _ in range(4)]
        gone, answers = await asyncio.gather(edge.delete(tag), asyncio.gather(*changes, *makes))
        assert gone.thing == tag
        assert {answer.status_code for answer in answers} <= {200, 201, 422}
    assert (await caller.data(NOTE, id=note))["note"]["tags"] == []


async def test_a_workspace_has_so_many_tags(edge: Edge, tenant: Tenant) -> None:
    await rows(tenant, *(f"{number:04}" for number in range(MAX_WORKSPACE_TAGS - 2)))
    told = await asyncio.gather(*(edge.create(name=f"last {number}", color=RED) for number in range(5)))
    assert sorted(one.code or "made" for one in told) == ["UNPROCESSABLE"] * 3 + ["made"] * 2
    assert len(await edge.listed()) == MAX_WORKSPACE_TAGS


async def test_another_workspaces_tag_is_not_found(edge: Edge, stranger: Tenant) -> None:
    [theirs] = await rows(stranger, "Theirs")
    for ident in (theirs, str(uuid.uuid4()), "nobody"):
        for told in (await edge.update(ident, name="Mine"), await edge.delete(ident)):
            assert told == EdgeResult(code="NOT_FOUND")


REFUSED: list[tuple[str, Any, tuple[int, str, str | None]]] = [
    ("POST /v1/workspace/tags", {"name": "A"}, (400, "invalid_parameter", "color")),
    ("POST /v1/workspace/tags", {"name": 1, "color": RED}, (400, "invalid_parameter", "name")),
    ("POST /v1/workspace/tags", {"name": "A", "color": RED, "id": "x"}, (400, "invalid_parameter", "id")),
    ("POST /v1/workspace/tags", {"name": "Here", "color": RED}, (409, "already_exists", "name")),
    ("POST /v1/workspace/tags", [], (400, "invalid_parameter", None)),
    ("PATCH /v1/workspace/tags/TAG", {"colour": RED}, (400, "invalid_parameter", "colour")),
    (f"PATCH /v1/workspace/tags/{uuid.UUID(int=7)}", {}, (404, "resource_not_found", None)),
    ("PATCH /v1/workspace/tags/x", {}, (404, "resource_not_found", None)),
    (f"DELETE /v1/workspace/tags/{uuid.UUID(int=7)}", None, (404, "resource_not_found", None)),
    ("PUT /v1/workspace/tags/TAG", {}, (405, "method_not_allowed", None)),
]


@pytest.mark.parametrize(("route", "body", "refusal"), REFUSED)
async def test_how_rest_refuses(tenant: Tenant, route: str, body: Any, refusal: tuple[int, str, str | None]) -> None:
    user = await tenant.user()
    [tag] = await rows(tenant, "Here")
    response = await user.http.request(*route.replace("TAG", tag).split(" "), json=body)
    answer = response.json()
    assert (response.status_code, answer["code"], answer["error"].get("param")) == refusal


async def test_what_rest_answers_whole(tenant: Tenant) -> None:
    user = await tenant.user()
    sent = {"name": "A", "color": RED}
    response = await user.http.post("/v1/workspace/tags", json=sent, headers={"Idempotency-Key": "k"})
    tag = response.json()["tag"]
    made = {"id": tag["id"], "name": "A", "color": RED, "createdAt": tag["createdAt"]}
    assert (response.status_code, response.json()) == (201, {"tag": made})
    again = await user.http.post("/v1/workspace/tags", json=sent, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (201, {"tag": made})
    assert (await user.http.get("/v1/workspace/tags")).json() == {"tags": [made]}
    response = await user.http.patch(f"/v1/workspace/tags/{tag['id']}", json={"name": "B"})
    assert (response.status_code, response.json()) == (200, {"tag": {**made, "name": "B"}})
    response = await user.http.delete(f"/v1/workspace/tags/{tag['id']}")
    assert (response.status_code, response.json()) == (200, {"success": True, "message": "Tag deleted"})
    gone = await user.http.post("/v1/workspace/tags", json=sent, headers={"Idempotency-Key": "k"})
    assert gone.status_code == 404


@pytest.mark.parametrize(
    ("scope", "reads", "writes"), [("notes", 200, 201), ("notes:read", 200, 403), ("users", 403, 403)]
)
async def test_tags_are_of_the_scope_notes(tenant: Tenant, scope: str, reads: int, writes: int) -> None:
    key = await tenant.key(scope)
    assert (await key.http.get("/v1/workspace/tags")).status_code == reads
    response = await key.http.post("/v1/workspace/tags", json={"name": "A", "color": RED})
    assert response.status_code == writes
