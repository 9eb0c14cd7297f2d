"""Groups of members at both edges: made, changed, deleted, and what is refused."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert

from models import Group, Role
from models.base import new_id
from models.people import MAX_DESCRIPTION, MAX_NAME
from resolvers.workspaces.groups import MAX_GROUPS
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.rest import EdgeResult, send_mutation, send_rest
from tests.test_edges import millis

SHOWN = "{ id name description createdAt }"
MAKE = f"mutation($input: CreateGroupInput!) {{ createGroup(input: $input) {SHOWN} }}"
CHANGE = f"mutation($id: ID!, $input: UpdateGroupInput!) {{ updateGroup(id: $id, input: $input) {SHOWN} }}"
DELETE = "mutation($id: ID!) { deleteGroup(id: $id) }"
LIST = "{ workspace { groups { id name description memberCount createdAt } } }"
PLACE = "/v1/workspace/groups"


def shown(group: dict[str, Any]) -> dict[str, Any]:
    """A group of GraphQL in the shape of /v1, which has a description where there is one."""
    kept = {name: value for name, value in group.items() if name != "description" or value is not None}
    return {**kept, "createdAt": millis(group["createdAt"])}


class GraphQLGroups:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def create(self, **fields: Any) -> EdgeResult:
        return self._shown(await send_mutation(self.caller, MAKE, input=fields))

    async def update(self, ident: str, **fields: Any) -> EdgeResult:
        return self._shown(await send_mutation(self.caller, CHANGE, id=ident, input=fields))

    async def delete(self, ident: str) -> EdgeResult:
        return await send_mutation(self.caller, DELETE, id=ident)

    async def list(self) -> list[Any]:
        return list(map(shown, (await self.caller.data(LIST))["workspace"]["groups"]))

    @staticmethod
    def _shown(told: EdgeResult) -> EdgeResult:
        return told if told.code else EdgeResult(shown(told.value))


class RestGroups:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def create(self, **fields: Any) -> EdgeResult:
        return await send_rest(self.caller, "POST", PLACE, fields)

    async def update(self, ident: str, **fields: Any) -> EdgeResult:
        return await send_rest(self.caller, "PATCH", f"{PLACE}/{ident}", fields)

    async def delete(self, ident: str) -> EdgeResult:
        return await send_rest(self.caller, "DELETE", f"{PLACE}/{ident}")

    async def list(self) -> list[Any]:
        answer = (await self.caller.http.get(PLACE)).json()
        assert list(answer) == ["userGroups"]
        found: list[Any] = answer["userGroups"]
        return found


Edge = GraphQLGroups | RestGroups
EDGES = pytest.mark.parametrize("kind", [GraphQLGroups, RestGroups], ids=["graphql", "rest"])


@pytest.fixture(params=[GraphQLGroups, RestGroups], ids=["graphql", "rest"])
async def edge(request: pytest.FixtureRequest, tenant: Tenant) -> Edge:
    made: Edge = request.param(await tenant.user(Role.ADMIN))
    return made


async def rows(tenant: Tenant, *names: str) -> list[str]:
    made = [{"id": new_id(), "workspace_id": tenant.id, "name": name} for name in names]
    async with tenant.database.begin() as connection:
        await connection.execute(insert(Group), made)
    return [str(row["id"]) for row in made]


async def test_a_groups_life_is_the_same_at_both(edge: Edge) -> None:
    other = RestGroups(edge.caller) if isinstance(edge, GraphQLGroups) else GraphQLGroups(edge.caller)
    made = (await edge.create(name=" Über uns ", description="All of us")).thing
    plain = {"id": made["id"], "createdAt": made["createdAt"], "name": "Über uns"}
    assert made == {**plain, "description": "All of us"}
    bare = (await other.create(name="A")).thing
    assert set(bare) == {"id", "name", "createdAt"}
    assert await edge.list() == await other.list() == [{**bare, "memberCount": 0}, {**made, "memberCount": 0}]
    renamed = {**made, "name": "Renamed"}
    assert (await edge.update(made["id"], name="Renamed")).thing == renamed
    # Its own name is not another's, and nothing sent is no change.
    assert (await edge.update(made["id"], name="Renamed")).thing == (await edge.update(made["id"])).thing == renamed
    assert (await edge.update(made["id"], description=None)).thing == {**plain, "name": "Renamed"}
    assert (await edge.delete(made["id"])).thing == made["id"]
    for gone in (await edge.delete(made["id"]), await other.update(made["id"], name="B")):
        assert gone.code == "NOT_FOUND"
    assert await other.list() == [{**bare, "memberCount": 0}]


async def test_the_message_of_a_delete(tenant: Tenant) -> None:
    admin, [group] = await tenant.user(Role.ADMIN), await rows(tenant, "A")
    answer = await admin.http.delete(f"{PLACE}/{group}")
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "Group deleted"})


async def test_the_bounds(edge: Edge) -> None:
    name, description = "🙂" * MAX_NAME, "é" * MAX_DESCRIPTION
    made = (await edge.create(name=name, description=description)).thing
    assert (made["name"], made["description"]) == (name, description)


BAD: list[tuple[str, Any]] = [
    ("name", ""),
    ("name", "  "),
    ("name", "x" * (MAX_NAME + 1)),
    ("name", "nul\x00"),
    ("name", None),
    ("description", "x" * (MAX_DESCRIPTION + 1)),
    ("description", "\x00"),
]


@pytest.mark.parametrize(("field", "value"), BAD)
async def test_bad_values_are_refused_by_name(edge: Edge, tenant: Tenant, field: str, value: Any) -> None:
    [group] = await rows(tenant, "here")
    refused = EdgeResult(code="BAD_USER_INPUT", field=field)
    # A null that must not be null is refused by GraphQL itself, which names no field.
    by_itself = EdgeResult(code="BAD_USER_INPUT") if value is None and isinstance(edge, GraphQLGroups) else refused
    assert await edge.create(**{"name": "A", field: value}) == by_itself
    assert await edge.update(group, **{field: value}) == refused
    assert [one["name"] for one in await edge.list()] == ["here"]


async def test_a_name_is_there_once_in_a_workspace(edge: Edge, tenant: Tenant, stranger: Tenant) -> None:
    await rows(stranger, "Taken")
    first, second = [(await edge.create(name=name)).thing["id"] for name in ("Taken", "taken")]
    taken = EdgeResult(code="ALREADY_EXISTS", field="name")
    assert await edge.create(name="Taken") == taken
    assert await edge.update(second, name=" Taken ") == taken
    assert [one["id"] for one in await edge.list()] == [first, second]


async def test_two_of_one_name_at_once_make_one(edge: Edge, tenant: Tenant) -> None:
    told = await asyncio.gather(*(edge.create(name="Taken") for _ in range(6)))
    assert sorted(one.code or "made" for one in told) == ["ALREADY_EXISTS"] * 5 + ["made"]
    free = await rows(tenant, *"abcdef")
    told = await asyncio.gather(*(edge.update(ident, name="Wanted") for ident in free))
    assert sorted(one.code or "made" for one in told) == ["ALREADY_EXISTS"] * 5 + ["made"]


async def test_a_workspace_has_room_for_so_many(edge: Edge, tenant: Tenant) -> None:
    await rows(tenant, *(f"{number}" for number in range(MAX_GROUPS - 1)))
    told = await asyncio.gather(*(edge.create(name=name) for name in "ab"))
    assert sorted(one.code or "made" for one in told) == ["UNPROCESSABLE", "made"]
    assert len(await edge.list()) == MAX_GROUPS


@EDGES
async def test_members_read_and_admins_write(kind: type[Edge], tenant: Tenant, stranger: Tenant) -> None:
    [group] = await rows(tenant, "A")
    writes: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("create", (), {"name": "B"}),
        ("update", (group,), {"name": "B"}),
        ("delete", (group,), {}),
    ]
    member, reader, other = kind(await tenant.user()), kind(await tenant.key("users:read")), kind(await stranger.key())
    for name, given, fields in writes:
        assert (await getattr(member, name)(*given, **fields)).code == "FORBIDDEN"
        assert (await getattr(reader, name)(*given, **fields)).code == "INSUFFICIENT_SCOPE"
        if given:
            for ident in (group, str(uuid4()), "nobody"):
                assert (await getattr(other, name)(ident, **fields)).code == "NOT_FOUND"
    for edge in (member, reader):
        assert [one["name"] for one in await edge.list()] == ["A"]
    assert await other.list() == []
    assert (await kind(await tenant.key("users")).create(name="B")).thing["name"] == "B"


async def test_a_key_without_the_scope_reads_nothing(tenant: Tenant) -> None:
    key = await tenant.key("notes", "folders", "webhooks")
    assert await key.code(LIST) == "INSUFFICIENT_SCOPE"
    answer = await key.http.get(PLACE)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


async def test_a_create_may_be_repeated(tenant: Tenant) -> None:
    admin = await tenant.user(Role.ADMIN)
    headers = {"Idempotency-Key": "once"}
    answers = [await admin.http.post(PLACE, json={"name": "A"}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    other = await admin.http.post(PLACE, json={"name": "B"}, headers=headers)
    assert (other.status_code, other.json()["error"]["param"]) == (422, "Idempotency-Key")
