"""The members of a workspace at both edges: listed, found, changed, removed, and never without an admin."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from models import Role
from models.base import new_id
from models.people import MAX_GROUP_IDS
from resolvers.auth import credentials
from resolvers.core.database import Transaction
from tests.conftest import Tenant
from tests.support.clients import NOBODY, Caller
from tests.support.rest import EdgeResult, send_mutation, send_rest
from tests.support.samples import sql
from tests.test_edges import millis
from tests.test_groups import rows as groups_of
from tests.test_main_job import CREATE

SHOWN = "{ id role createdAt user { id name email profileUrl } groups { id name } }"
LIST = f"""query($first: Int, $after: String, $search: String) {{ workspace {{
  members(first: $first, after: $after, search: $search) {{
    nodes {SHOWN} totalCount edges {{ cursor }} pageInfo {{ hasNextPage endCursor }}
}} }} }}"""
GET = f"query($id: ID!) {{ node(id: $id) {{ ... on Member {SHOWN} }} }}"
CHANGE = f"mutation($id: ID!, $input: UpdateMemberInput!) {{ updateMember(id: $id, input: $input) {SHOWN} }}"
REMOVE = "mutation($id: ID!) { removeMember(id: $id) }"
CREATIONS = "subscription { workspaceEvents(types: [NOTE_CREATED]) { type } }"
PLACE = "/v1/workspace/members"


def shown(member: dict[str, Any]) -> dict[str, Any]:
    """A member of GraphQL in the shape of /v1."""
    user = member["user"]
    return {
        "id": member["id"],
        "userId": user["id"],
        "name": user["name"],
        "email": user["email"],
        "profileUrl": user["profileUrl"],
        "role": member["role"].lower(),
        "createdAt": millis(member["createdAt"]),
        "groups": member["groups"],
    }


class GraphQLMembers:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def get(self, ident: str) -> EdgeResult:
        found = (await self.caller.data(GET, id=ident))["node"]
        return EdgeResult(shown(found)) if found else EdgeResult(code="NOT_FOUND")

    async def update(self, ident: str, **fields: Any) -> EdgeResult:
        if isinstance(fields.get("role"), str):
            fields["role"] = fields["role"].upper()
        told = await send_mutation(self.caller, CHANGE, id=ident, input=fields)
        return told if told.code else EdgeResult(shown(told.value))

    async def remove(self, ident: str) -> EdgeResult:
        return await send_mutation(self.caller, REMOVE, id=ident)

    async def list(self, **wanted: Any) -> list[Any]:
        found = (await self.caller.data(LIST, first=100, **wanted))["workspace"]["members"]
        assert found["totalCount"] == len(found["nodes"])
        return list(map(shown, found["nodes"]))


class RestMembers:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def get(self, ident: str) -> EdgeResult:
        return await send_rest(self.caller, "GET", f"{PLACE}/{ident}")

    async def update(self, ident: str, **fields: Any) -> EdgeResult:
        return await send_rest(self.caller, "PATCH", f"{PLACE}/{ident}", fields)

    async def remove(self, ident: str) -> EdgeResult:
        return await send_rest(self.caller, "DELETE", f"{PLACE}/{ident}")

    async def list(self, **wanted: Any) -> list[Any]:
        answer = (await self.caller.http.get(PLACE, params={"limit": 100, **wanted})).json()
        assert answer["pagination"] == {"limit": 100, "nextOffset": len(answer["items"]), "isLast": True}
        found: list[Any] = answer["items"]
        return found


Edge = GraphQLMembers | RestMembers
BOTH: list[type[Edge]] = [GraphQLMembers, RestMembers]
EDGES = pytest.mark.parametrize("kind", BOTH, ids=["graphql", "rest"])
LAST_ADMIN = EdgeResult(code="CONFLICT")


async def ident_of(tenant: Tenant, caller: Caller) -> str:
    """The id of a person's membership."""
    async with tenant.database.connect() as connection:
        query = text("SELECT id FROM members WHERE workspace_id = :w AND user_id = :u")
        return str((await connection.execute(query, {"w": tenant.id, "u": caller.user_id})).scalar_one())


async def admins_of(tenant: Tenant) -> int:
    async with tenant.database.connect() as connection:
        query = text("SELECT count(*) FROM members WHERE workspace_id = :w AND role = 'admin'")
        return int((await connection.execute(query, {"w": tenant.id})).scalar_one())


@EDGES
async def test_a_members_life_is_the_same_at_both(kind: type[Edge], tenant: Tenant) -> None:
    admin, person = await tenant.user(Role.ADMIN, "Ann"), await tenant.user(name="Bob")
    edge, other = kind(admin), next(one for one in BOTH if one is not kind)(admin)
    ident = await ident_of(tenant, person)
    made = (await edge.get(ident)).thing
    assert made == {
        "id": ident,
        "userId": str(person.user_id),
        "name": "Bob",
        "email": f"{person.user_id}@people.example",
        "profileUrl": None,
        "role": "member",
        "createdAt": made["createdAt"],
        "groups": [],
    }
    assert (await edge.list())[1] == (await other.list())[1] == (await other.get(ident)).thing == made
    first, second, third = await groups_of(tenant, "b", "a", "c")
    both = [{"id": second, "name": "a"}, {"id": first, "name": "b"}]
    assert (await edge.update(ident, groupIds=[first, second, first])).thing == {**made, "groups": both}
    assert (await edge.update(ident, role="admin")).thing == {**made, "groups": both, "role": "admin"}
    assert (await edge.update(ident)).thing == (await other.get(ident)).thing
    # The groups are replaced whole.
    changed = (await other.update(ident, groupIds=[third, first], role="member")).thing
    assert changed == {**made, "groups": [{"id": first, "name": "b"}, {"id": third, "name": "c"}]}
    assert (await edge.update(ident, groupIds=[])).thing == made
    assert (await edge.remove(ident)).thing == ident
    for gone in (await edge.get(ident), await edge.update(ident, role="admin"), await edge.remove(ident)):
        assert gone.code == "NOT_FOUND"
    assert [one["name"] for one in await other.list()] == ["Ann"]


async def test_the_message_of_a_removal(tenant: Tenant) -> None:
    ident = await ident_of(tenant, await tenant.user())
    answer = await (await tenant.key()).http.delete(f"{PLACE}/{ident}")
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "Member removed"})


async def test_groups_count_their_members(tenant: Tenant) -> None:
    key, [group, empty] = await tenant.key(), await groups_of(tenant, "a", "b")
    for _ in range(3):
        await RestMembers(key).update(await ident_of(tenant, await tenant.user()), groupIds=[group])
    told = (await key.data("{ workspace { groups { id memberCount } } }"))["workspace"]["groups"]
    assert told == [{"id": group, "memberCount": 3}, {"id": empty, "memberCount": 0}]
    listed = (await key.http.get("/v1/workspace/groups")).json()["userGroups"]
    assert [(one["id"], one["memberCount"]) for one in listed] == [(group, 3), (empty, 0)]
    await RestMembers(key).remove((await RestMembers(key).list())[0]["id"])
    await key.http.delete(f"/v1/workspace/groups/{empty}")
    listed = (await key.http.get("/v1/workspace/groups")).json()["userGroups"]
    assert [(one["id"], one["memberCount"]) for one in listed] == [(group, 2)]


async def test_pages_by_offset(tenant: Tenant) -> None:
    people = [await tenant.user(name=f"{number}") for number in range(5)]
    key = await tenant.key()
    for query, names, place in (
        ({}, "01234", {"limit": 20, "nextOffset": 5, "isLast": True}),
        ({"limit": 2}, "01", {"limit": 2, "nextOffset": 2, "isLast": False}),
        ({"limit": 2, "offset": 4}, "4", {"limit": 2, "nextOffset": 5, "isLast": True}),
        ({"limit": 5}, "01234", {"limit": 5, "nextOffset": 5, "isLast": True}),
        ({"limit": 100, "offset": 5}, "", {"limit": 100, "nextOffset": 5, "isLast": True}),
        ({"limit": 1, "offset": 2**63 - 1}, "", {"limit": 1, "nextOffset": 2**63 - 1, "isLast": True}),
    ):
        answer = (await key.http.get(PLACE, params=query)).json()
        assert ([one["name"] for one in answer["items"]], answer["pagination"]) == (list(names), place)
        assert [one["userId"] for one in answer["items"]] == [str(people[int(name)].user_id) for name in names]
    for bad in ("limit=0", "limit=101", "limit=x", "offset=-1", f"offset={2**63}", "search=" + "x" * 501):
        answer = await key.http.get(f"{PLACE}?{bad}")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, bad.partition("=")[0])


async def test_pages_by_cursor(tenant: Tenant) -> None:
    for number in range(5):
        await tenant.user(name=f"{number}")
    key, seen, after, more = await tenant.key(), [], None, True
    while more:
        page = (await key.data(LIST, first=2, after=after))["workspace"]["members"]
        seen += [node["user"]["name"] for node in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        assert (page["totalCount"], page["edges"][-1]["cursor"]) == (5, after)
    assert seen == list("01234")
    for bad in ({"first": 0}, {"first": 101}, {"after": "x"}, {"search": "x" * 501}):
        assert await key.code(LIST, **bad) == "BAD_USER_INPUT"


@EDGES
async def test_search_finds_a_part_of_a_name_or_address_in_any_case(kind: type[Edge], tenant: Tenant) -> None:
    people = [await tenant.user(name=name) for name in ("Ann Müller", "Bob", "100% Carl_O\\Neil")]
    edge = kind(await tenant.key())
    for search, names in {
        "ann": ["Ann Müller"],
        "MÜLL": ["Ann Müller"],
        "%": ["100% Carl_O\\Neil"],
        "_o": ["100% Carl_O\\Neil"],
        "\\": ["100% Carl_O\\Neil"],
        "o": ["Ann Müller", "Bob", "100% Carl_O\\Neil"],
        f"{people[1].user_id}@PEOPLE"[-20:]: ["Bob"],
        " ": ["Ann Müller", "Bob", "100% Carl_O\\Neil"],
        "nobody": [],
    }.items():
        assert [one["name"] for one in await edge.list(search=search)] == names, search


@EDGES
async def test_members_read_and_admins_write(kind: type[Edge], tenant: Tenant, stranger: Tenant) -> None:
    member, victim = await tenant.user(), await tenant.user()
    ident = await ident_of(tenant, victim)
    reader, outsider, other = await tenant.key("users:read"), await stranger.user(Role.ADMIN), await stranger.key()
    refusals = [(member, "FORBIDDEN"), (reader, "INSUFFICIENT_SCOPE"), (outsider, "NOT_FOUND"), (other, "NOT_FOUND")]
    for caller, code in refusals:
        assert (await kind(caller).update(ident, role="admin")).code == code
        assert (await kind(caller).remove(ident)).code == code
    for caller in (member, reader):
        assert (await kind(caller).get(ident)).thing["id"] == ident
        assert len(await kind(caller).list()) == 2
    for caller in (outsider, other):
        for missing in (ident, str(uuid4()), "nobody"):
            assert (await kind(caller).get(missing)).code == "NOT_FOUND"
        assert ident not in [one["id"] for one in await kind(caller).list()]
    assert (await kind(await tenant.key("users")).update(ident, role="admin")).thing["role"] == "admin"


async def test_a_key_without_the_scope_reads_nothing(tenant: Tenant) -> None:
    key, ident = await tenant.key("notes", "folders"), await ident_of(tenant, await tenant.user())
    assert await key.code(LIST) == "INSUFFICIENT_SCOPE"
    assert await key.data(GET, id=ident) == {"node": None}
    for path in (PLACE, f"{PLACE}/{ident}"):
        answer = await key.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


BAD: list[tuple[str, Any]] = [
    ("role", None),
    ("groupIds", None),
    ("groupIds", [NOBODY] * (MAX_GROUP_IDS + 1)),
    ("groupIds.0", ["nobody"]),
]


@EDGES
@pytest.mark.parametrize(("field", "value"), BAD)
async def test_bad_values_are_refused_by_name(kind: type[Edge], tenant: Tenant, field: str, value: Any) -> None:
    edge, ident = kind(await tenant.key()), await ident_of(tenant, await tenant.user())
    refused = await edge.update(ident, **{field.partition(".")[0]: value})
    assert refused == EdgeResult(code="BAD_USER_INPUT", field=field)


@EDGES
async def test_wrong_roles_and_unknown_fields_are_refused(kind: type[Edge], tenant: Tenant) -> None:
    edge, ident = kind(await tenant.key()), await ident_of(tenant, await tenant.user())
    for fields in (
        {"role": "owner"},
        {"role": 1},
        {"name": "x"},
        {"groupIds": "x"} if kind is RestMembers else {"x": 1},
    ):
        assert (await edge.update(ident, **fields)).code == "BAD_USER_INPUT", fields


@EDGES
async def test_an_unknown_group_is_unprocessable(kind: type[Edge], tenant: Tenant, stranger: Tenant) -> None:
    edge, ident = kind(await tenant.key()), await ident_of(tenant, await tenant.user())
    [mine], [theirs] = await groups_of(tenant, "a"), await groups_of(stranger, "b")
    for unknown in (theirs, str(uuid4())):
        refused = await edge.update(ident, role="admin", groupIds=[mine, unknown])
        assert refused == EdgeResult(code="UNPROCESSABLE", field="groupIds")
    shown = (await edge.get(ident)).thing
    assert (shown["role"], shown["groups"]) == ("member", [])
    most = await groups_of(tenant, *(f"{number}" for number in range(MAX_GROUP_IDS)))
    assert len((await edge.update(ident, groupIds=most)).thing["groups"]) == MAX_GROUP_IDS


@EDGES
async def test_the_last_admin_stays(kind: type[Edge], tenant: Tenant) -> None:
    admin, member, key = await tenant.user(Role.ADMIN), await tenant.user(), await tenant.key()
    last, other = await ident_of(tenant, admin), await ident_of(tenant, member)
    for caller in (admin, key):
        assert await kind(caller).update(last, role="member") == LAST_ADMIN
        assert await kind(caller).remove(last) == LAST_ADMIN
    # To stay one is no demotion, and what comes with a refused change is not done.
    assert (await kind(admin).update(last, role="admin", groupIds=[])).thing["role"] == "admin"
    [group] = await groups_of(tenant, "a")
    assert await kind(key).update(last, groupIds=[group], role="member") == LAST_ADMIN
    assert (await kind(key).get(last)).thing["groups"] == []
    await kind(admin).update(other, role="admin")
    assert (await kind(admin).update(last, role="member")).thing["role"] == "member"
    assert (await kind(admin).update(last, role="admin")).code == "FORBIDDEN"
    assert await kind(member).remove(other) == LAST_ADMIN


async def test_the_status_of_the_last_admins_refusal(tenant: Tenant) -> None:
    admin = await tenant.user(Role.ADMIN)
    answer = await admin.http.delete(f"{PLACE}/{await ident_of(tenant, admin)}")
    assert (answer.status_code, answer.json()["code"], answer.json()["error"]["type"]) == (
        409,
        "conflict",
        "conflict_error",
    )


@EDGES
async def test_everybody_may_leave(kind: type[Edge], tenant: Tenant) -> None:
    first, second, member = [await tenant.user(role) for role in (Role.ADMIN, Role.ADMIN, Role.MEMBER)]
    for leaving in (member, second):
        ident = await ident_of(tenant, leaving)
        assert (await kind(leaving).remove(ident)).thing == ident
    assert [one["userId"] for one in await kind(first).list()] == [str(first.user_id)]


@EDGES
async def test_admins_who_demote_each_other_at_once_leave_one(kind: type[Edge], tenant: Tenant) -> None:
    for write in ("update", "remove"):
        one, two = await tenant.user(Role.ADMIN), await tenant.user(Role.ADMIN)
        idents = [await ident_of(tenant, caller) for caller in (one, two)]
        role = {"role": "member"} if write == "update" else {}
        told = await asyncio.gather(
            getattr(kind(one), write)(idents[1], **role),
            getattr(kind(two), write)(idents[0], **role),
        )
        # Who came second finds that they are the last, or, if they came later still, that they are none any more.
        won, lost = sorted(one.code or "" for one in told)
        assert won == ""
        assert lost in {"CONFLICT", "FORBIDDEN", "NOT_FOUND"}
        assert await admins_of(tenant) == 1
        await sql(tenant.database, "DELETE FROM members WHERE workspace_id = :w", w=tenant.id)


@EDGES
async def test_many_keys_that_demote_all_at_once_leave_one(kind: type[Edge], tenant: Tenant) -> None:
    idents = [await ident_of(tenant, await tenant.user(Role.ADMIN)) for _ in range(6)]
    key = await tenant.key()
    calls = [kind(key).update(one, role="member") if turn else kind(key).remove(one) for turn, one in enumerate(idents)]
    told = await asyncio.gather(*calls)
    assert sorted(one.code or "" for one in told) == [""] * 5 + ["CONFLICT"]
    assert await admins_of(tenant) == 1


@EDGES
async def test_a_group_may_be_deleted_while_members_join_it(kind: type[Edge], tenant: Tenant) -> None:
    key = await tenant.key()
    idents = [await ident_of(tenant, await tenant.user()) for _ in range(3)]
    for _ in range(5):
        groups = await groups_of(tenant, "a", "b", "c")
        for ident in idents:
            await kind(key).update(ident, groupIds=groups[:2])
        told = await asyncio.gather(
            *(kind(key).update(ident, groupIds=groups) for ident in idents),
            *(send_rest(key, "DELETE", f"/v1/workspace/groups/{group}") for group in groups),
        )
        assert {one.code for one in told} <= {None, "UNPROCESSABLE"}


async def test_a_removed_members_token_is_worth_nothing_here(tenant: Tenant, stranger: Tenant) -> None:
    """On the next request, and on what is open."""
    admin, person = await tenant.user(Role.ADMIN), await tenant.user()
    assert person.user_id is not None
    async with tenant.database.begin() as connection:
        await credentials.add_member(Transaction(connection), stranger.id, person.user_id, Role.MEMBER)
    note = (await admin.data(CREATE, input={"title": "Ours"}))["createNote"]["id"]
    here = {"X-Workspace-Id": str(tenant.id)}
    assert (await person.http.get("/v1/me", headers=here)).status_code == 200
    async with person.socket() as socket:
        # Only what is created: that the worker has indexed the first note may come as well.
        name = await socket.start_live(CREATIONS)
        assert (await RestMembers(admin).remove(await ident_of(tenant, person))).code is None
        await admin.data(CREATE, input={"title": "Unheard"})
        ended = await socket.next(name)
        told = ended["payload"] if ended["type"] == "error" else ended["payload"]["errors"]
        assert [error["extensions"]["code"] for error in told] == ["FORBIDDEN"]
    assert (await person.http.get("/v1/me", headers=here)).status_code == 403
    answer: httpx.Response = await person.http.get(f"/v1/notes/{note}")
    assert answer.status_code == 404
    me = (await person.http.get("/v1/me")).json()
    assert me["workspace"]["id"] == str(stranger.id)


async def test_colleagues_of_any_workspace_see_each_others_addresses(tenant: Tenant, stranger: Tenant) -> None:
    """Also of the one that the person is not in at the moment; the others see none."""
    both, here = await tenant.user(), await tenant.user()
    assert both.user_id is not None
    async with tenant.database.begin() as connection:
        await credentials.add_member(Transaction(connection), stranger.id, both.user_id, Role.MEMBER)
    there = await stranger.user()
    query = "{ viewer { workspaces { id members { nodes { user { email } } } groups { id } } } }"
    [first, second] = (await both.data(query))["viewer"]["workspaces"]
    for place, people in ((first, (both, here)), (second, (both, there))):
        told = {one["user"]["email"] for one in place["members"]["nodes"]}
        assert told == {f"{person.user_id}@people.example" for person in people}
    assert (await here.data(query))["viewer"]["workspaces"][0]["id"] == str(tenant.id)
    assert await here.data("query($id: ID!) { workspace(id: $id) { id } }", id=str(stranger.id)) == {"workspace": None}
    assert await here.data(GET, id=str(new_id())) == {"node": None}
