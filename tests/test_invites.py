"""Invites at both edges: made, listed, withdrawn, accepted, and worth nothing to whom they are not for."""

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, text

from models import Invite, Role
from models.base import new_id
from models.people import MAX_GROUP_IDS
from resolvers.workspaces.invites import ALPHABET, LIFETIME, MAX_INVITES, new_code
from tests.conftest import Tenant, token
from tests.support.clients import NOBODY, Caller
from tests.support.rest import CODES, EdgeResult, send_mutation, send_rest
from tests.support.samples import sql
from tests.test_edges import millis
from tests.test_groups import rows as groups_of
from tests.test_members import SHOWN as MEMBER
from tests.test_members import RestMembers, ident_of
from tests.test_members import shown as as_member

SHOWN = "{ id email code role isUrlInvite expiresAt createdAt groups { id name } }"
MAKE = f"mutation($input: CreateInviteInput!) {{ createInvite(input: $input) {SHOWN} }}"
DELETE = "mutation($id: ID!) { deleteInvite(id: $id) }"
ACCEPT = f"mutation($code: String!) {{ acceptInvite(code: $code) {MEMBER} }}"
LIST = f"""query($first: Int, $after: String) {{ workspace {{ invites(first: $first, after: $after) {{
    nodes {SHOWN} totalCount pageInfo {{ hasNextPage endCursor }}
}} }} }}"""
PLACE = "/v1/workspace/invites"
ALIAS = "/v1/invites"
ANN = "Ann@People.example"


def shown(invite: dict[str, Any]) -> dict[str, Any]:
    """An invite of GraphQL in the shape of /v1."""
    moments = {name: millis(invite[name]) for name in ("expiresAt", "createdAt")}
    return {**invite, **moments, "role": invite["role"].lower()}


class GraphQLInvites:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def create(self, **fields: Any) -> EdgeResult:
        if isinstance(fields.get("role"), str):
            fields["role"] = fields["role"].upper()
        told = await send_mutation(self.caller, MAKE, input=fields)
        return told if told.code else EdgeResult(shown(told.value))

    async def delete(self, ident: str) -> EdgeResult:
        return await send_mutation(self.caller, DELETE, id=ident)

    async def accept(self, code: str) -> EdgeResult:
        told = await send_mutation(self.caller, ACCEPT, code=code)
        return told if told.code else EdgeResult(as_member(told.value))

    async def list(self) -> EdgeResult:
        answer = await self.caller.graphql(LIST, first=100)
        if "errors" in answer:
            return EdgeResult(code=answer["errors"][0]["extensions"]["code"])
        found = answer["data"]["workspace"]["invites"]
        assert found["totalCount"] == len(found["nodes"])
        return EdgeResult(list(map(shown, found["nodes"])))


class RestInvites:
    place = PLACE

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def create(self, **fields: Any) -> EdgeResult:
        return await send_rest(self.caller, "POST", self.place, fields)

    async def delete(self, ident: str) -> EdgeResult:
        return await send_rest(self.caller, "DELETE", f"{self.place}/{ident}")

    async def accept(self, code: str) -> EdgeResult:
        response = await self.caller.http.post(f"{self.place}/accept", json={"code": code})
        answer = response.json()
        if response.status_code != 200:
            return EdgeResult(
                code=CODES.get(answer["code"], answer["code"].upper()), field=answer["error"].get("param")
            )
        assert list(answer) == ["member"]
        return EdgeResult(answer["member"])

    async def list(self) -> EdgeResult:
        response = await self.caller.http.get(self.place, params={"limit": 100})
        answer = response.json()
        if response.status_code != 200:
            return EdgeResult(code=CODES.get(answer["code"], answer["code"].upper()))
        assert answer["pagination"] == {"limit": 100, "nextOffset": len(answer["items"]), "isLast": True}
        return EdgeResult(answer["items"])


class AliasInvites(RestInvites):
    place = ALIAS


Edge = GraphQLInvites | RestInvites
BOTH: list[type[Edge]] = [GraphQLInvites, RestInvites, AliasInvites]
EDGES = pytest.mark.parametrize("kind", BOTH, ids=["graphql", "rest", "alias"])
NOT_FOUND = EdgeResult(code="NOT_FOUND")


async def newcomer(tenant: Tenant, email: str | None = None) -> Caller:
    """A person with a token who is in no workspace of the tests; their address is the one of their token, or this."""
    user_id = uuid4()
    caller = tenant._caller(token(user_id), None)
    caller.user_id = user_id
    assert (await caller.http.get("/v1/me")).status_code == 200
    if email is not None:
        await sql(tenant.database, "UPDATE users SET email = :email WHERE id = :user", email=email, user=user_id)
    return caller


async def expire(tenant: Tenant, ident: str) -> None:
    await sql(tenant.database, "UPDATE invites SET expires_at = now() WHERE id = :id", id=ident)


async def allow(tenant: Tenant, *domains: str) -> None:
    statement = "UPDATE workspaces SET allowed_email_domains = :domains WHERE id = :id"
    await sql(tenant.database, statement, domains=list(domains), id=tenant.id)


async def places_of(tenant: Tenant, caller: Caller) -> int:
    async with tenant.database.connect() as connection:
        query = text("SELECT count(*) FROM members WHERE workspace_id = :w AND user_id = :u")
        return int((await connection.execute(query, {"w": tenant.id, "u": caller.user_id})).scalar_one())


@EDGES
async def test_an_invites_life_is_the_same_everywhere(kind: type[Edge], tenant: Tenant) -> None:
    admin = await tenant.user(Role.ADMIN)
    edge, others = kind(admin), [one(admin) for one in BOTH if one is not kind]
    first, second = await groups_of(tenant, "b", "a")
    made = (await edge.create(email=ANN, role="admin", groupIds=[first, second])).thing
    assert made == {
        "id": made["id"],
        "email": ANN,
        "code": made["code"],
        "role": "admin",
        "expiresAt": made["expiresAt"],
        "createdAt": made["createdAt"],
        "isUrlInvite": False,
        "groups": [{"id": second, "name": "a"}, {"id": first, "name": "b"}],
    }
    assert re.fullmatch(f"[{ALPHABET}]{{8}}", made["code"])
    span = datetime.fromisoformat(made["expiresAt"]) - datetime.fromisoformat(made["createdAt"])
    assert abs(span - LIFETIME) < timedelta(seconds=1)
    plain = (await edge.create(email="bob@people.example")).thing
    assert (plain["role"], plain["isUrlInvite"], plain["groups"]) == ("member", False, [])
    url = (await others[0].create(isUrlInvite=True)).thing
    assert (url["email"], url["isUrlInvite"]) == (None, True)
    # Newest first.
    for one in (edge, *others):
        assert (await one.list()).thing == [url, plain, made]
    assert (await edge.delete(plain["id"])).thing == plain["id"]
    await expire(tenant, made["id"])
    assert (await edge.list()).thing == [url]
    for gone in (plain, made):
        for one in (edge, *others):
            assert await one.delete(gone["id"]) == NOT_FOUND


async def test_the_message_of_a_delete(tenant: Tenant) -> None:
    admin = await tenant.user(Role.ADMIN)
    invite = (await RestInvites(admin).create(email=ANN)).thing
    answer = await admin.http.delete(f"{PLACE}/{invite['id']}")
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "Invite deleted"})


async def test_pages(tenant: Tenant) -> None:
    key = await tenant.key()
    made = [(await RestInvites(key).create(email=f"{number}@x")).thing["email"] for number in range(5)][::-1]
    answer = (await key.http.get(PLACE, params={"limit": 2, "offset": 2})).json()
    place = {"limit": 2, "nextOffset": 4, "isLast": False}
    assert ([one["email"] for one in answer["items"]], answer["pagination"]) == (made[2:4], place)
    for bad in ("limit=0", "limit=101", "offset=-1"):
        answer = (await key.http.get(f"{ALIAS}?{bad}")).json()
        assert (answer["code"], answer["error"]["param"]) == ("invalid_parameter", bad.partition("=")[0])
    page = (await key.data(LIST, first=3))["workspace"]["invites"]
    assert ([one["email"] for one in page["nodes"]], page["totalCount"]) == (made[:3], 5)
    rest = (await key.data(LIST, first=3, after=page["pageInfo"]["endCursor"]))["workspace"]["invites"]
    assert ([one["email"] for one in rest["nodes"]], rest["pageInfo"]["hasNextPage"]) == (made[3:], False)
    assert await key.code(LIST, after="x") == "BAD_USER_INPUT"


BAD: list[tuple[str, Any]] = [
    ("email", None),
    ("email", "nobody"),
    ("email", "a@b@c"),
    ("email", "x" * 319 + "@y"),
    ("groupIds", [NOBODY] * (MAX_GROUP_IDS + 1)),
    ("groupIds.0", ["nobody"]),
]


@EDGES
@pytest.mark.parametrize(("field", "value"), BAD)
async def test_bad_values_are_refused_by_name(kind: type[Edge], tenant: Tenant, field: str, value: Any) -> None:
    edge = kind(await tenant.key())
    refused = await edge.create(**{"email": ANN, field.partition(".")[0]: value})
    assert refused == EdgeResult(code="BAD_USER_INPUT", field=field)
    assert (await edge.list()).thing == []


@EDGES
async def test_what_is_well_formed_may_still_be_refused(kind: type[Edge], tenant: Tenant, stranger: Tenant) -> None:
    edge, [theirs] = kind(await tenant.key()), await groups_of(stranger, "a")
    assert await edge.create() == EdgeResult(code="BAD_USER_INPUT", field="email")
    for unknown in (theirs, str(uuid4())):
        assert await edge.create(email=ANN, groupIds=[unknown]) == EdgeResult(code="UNPROCESSABLE", field="groupIds")
    await kind(await stranger.key()).create(email=ANN)
    made = (await edge.create(email=ANN)).thing
    exists = EdgeResult(code="ALREADY_EXISTS", field="email")
    assert await edge.create(email=ANN.lower()) == exists
    # By URL everybody is invited, so an address is no hindrance.
    assert (await edge.create(email=ANN, isUrlInvite=True)).thing["email"] == ANN
    await expire(tenant, made["id"])
    again = (await edge.create(email=ANN.upper())).thing
    await edge.delete(again["id"])
    assert (await edge.create(email=ANN)).code is None


@EDGES
async def test_only_allowed_domains_are_invited(kind: type[Edge], tenant: Tenant) -> None:
    edge = kind(await tenant.key())
    await allow(tenant, "people.example", "Other.example")
    for email in ("a@evil.example", "a@sub.people.example", "people.example@evil", "a@people.example.evil"):
        assert await edge.create(email=email) == EdgeResult(code="UNPROCESSABLE", field="email")
    for email in ("a@PEOPLE.example", "a@other.example"):
        assert (await edge.create(email=email)).thing["email"] == email
    assert (await edge.create(isUrlInvite=True)).code is None


@EDGES
async def test_admins_only(kind: type[Edge], tenant: Tenant, stranger: Tenant) -> None:
    invite = (await kind(await tenant.user(Role.ADMIN)).create(email=ANN)).thing
    for caller, code in (
        (await tenant.user(), "FORBIDDEN"),
        (await tenant.key("notes", "folders", "webhooks"), "INSUFFICIENT_SCOPE"),
    ):
        assert (await kind(caller).list()).code == code
        assert (await kind(caller).create(email="b@x")).code == code
        assert (await kind(caller).delete(invite["id"])).code == code
    reader = kind(await tenant.key("users:read"))
    assert (await reader.list()).thing == [invite]
    assert (await reader.create(email="b@x")).code == (await reader.delete(invite["id"])).code == "INSUFFICIENT_SCOPE"
    for outsider in (await stranger.user(Role.ADMIN), await stranger.key()):
        assert (await kind(outsider).list()).thing == []
        for ident in (invite["id"], str(uuid4()), "nobody"):
            assert await kind(outsider).delete(ident) == NOT_FOUND


@EDGES
async def test_an_invite_by_email_is_for_one_person_once(kind: type[Edge], tenant: Tenant) -> None:
    admin = kind(await tenant.user(Role.ADMIN))
    groups = await groups_of(tenant, "a", "b")
    invite = (await admin.create(email=ANN, role="admin", groupIds=groups)).thing
    ann, bob, nameless = await newcomer(tenant, ANN.upper()), await newcomer(tenant), await newcomer(tenant, "")
    await sql(tenant.database, "UPDATE users SET email = NULL WHERE id = :user", user=nameless.user_id)
    for other in (bob, nameless):
        assert await kind(other).accept(invite["code"]) == await kind(other).accept("22222222") == NOT_FOUND
    member = (await kind(ann).accept(f"{invite['code'].lower()}")).thing
    assert member == {
        "id": member["id"],
        "userId": str(ann.user_id),
        "name": str(ann.user_id),
        "email": ANN.upper(),
        "profileUrl": None,
        "role": "admin",
        "createdAt": member["createdAt"],
        "groups": [{"id": groups[0], "name": "a"}, {"id": groups[1], "name": "b"}],
    }
    assert (await RestMembers(admin.caller).get(member["id"])).thing == member
    assert (await admin.list()).thing == []
    assert await kind(ann).accept(invite["code"]) == NOT_FOUND
    here = {"X-Workspace-Id": str(tenant.id)}
    assert (await ann.http.get("/v1/me", headers=here)).json()["role"] == "admin"


async def test_a_refused_code_tells_nothing(tenant: Tenant) -> None:
    """Not whether it is somebody else's, has expired, or never was."""
    invites = RestInvites(await tenant.key())
    theirs, old = (await invites.create(email=ANN)).thing, (await invites.create(isUrlInvite=True)).thing
    await expire(tenant, old["id"])
    await allow(tenant, "nowhere.example")
    person, told = await newcomer(tenant), set()
    for code in (theirs["code"], old["code"], new_code()):
        answer = await person.http.post(f"{ALIAS}/accept", json={"code": code})
        told.add((answer.status_code, answer.text.replace(code, "<code>")))
    assert len(told) == 1
    assert told.pop()[0] == 404


@EDGES
async def test_a_url_invite_is_for_everybody_until_it_ends(kind: type[Edge], tenant: Tenant) -> None:
    admin = kind(await tenant.key())
    invite = (await admin.create(isUrlInvite=True)).thing
    people = [await newcomer(tenant) for _ in range(3)]
    told = await asyncio.gather(*(kind(person).accept(invite["code"]) for person in people))
    assert [one.thing["userId"] for one in told] == [str(person.user_id) for person in people]
    assert (await admin.list()).thing == [invite]
    await expire(tenant, invite["id"])
    late = await newcomer(tenant)
    assert await kind(late).accept(invite["code"]) == NOT_FOUND
    other = (await admin.create(isUrlInvite=True)).thing
    await admin.delete(other["id"])
    assert await kind(late).accept(other["code"]) == NOT_FOUND
    assert await places_of(tenant, late) == 0


@EDGES
async def test_a_member_stays_as_they_are(kind: type[Edge], tenant: Tenant) -> None:
    key, admin, member = await tenant.key(), await tenant.user(Role.ADMIN), await tenant.user()
    groups = await groups_of(tenant, "a")
    address = f"{member.user_id}@people.example"
    mine = (await kind(key).create(email=address, role="admin", groupIds=groups)).thing
    url = (await kind(key).create(isUrlInvite=True, groupIds=groups)).thing
    # Not even a domain that is no longer allowed puts a member out.
    await allow(tenant, "nowhere.example")
    for caller, codes, role in ((member, (mine["code"], url["code"]), "member"), (admin, (url["code"],), "admin")):
        for code in codes:
            told = (await kind(caller).accept(code)).thing
            assert (told["id"], told["role"], told["groups"]) == (await ident_of(tenant, caller), role, [])
    assert (await kind(key).list()).thing == [url, mine]


@EDGES
async def test_only_allowed_domains_come_in(kind: type[Edge], tenant: Tenant) -> None:
    admin = kind(await tenant.key())
    by_mail = (await admin.create(email="ann@evil.example")).thing
    by_url = (await admin.create(isUrlInvite=True)).thing
    await allow(tenant, "people.example")
    refused = await newcomer(tenant, "ann@evil.example")
    for invite in (by_mail, by_url):
        assert await kind(refused).accept(invite["code"]) == EdgeResult(code="FORBIDDEN")
    assert await places_of(tenant, refused) == 0
    assert (await kind(await newcomer(tenant)).accept(by_url["code"])).code is None


@EDGES
async def test_a_key_accepts_nothing(kind: type[Edge], tenant: Tenant, stranger: Tenant) -> None:
    invite = (await kind(await tenant.key()).create(isUrlInvite=True)).thing
    for key in (await tenant.key(), await stranger.key()):
        assert await kind(key).accept(invite["code"]) == EdgeResult(code="FORBIDDEN")
    assert await kind(await newcomer(tenant)).accept("x" * 65) == EdgeResult(code="BAD_USER_INPUT", field="code")
    assert await kind(await newcomer(tenant)).accept("nul\x00") == EdgeResult(code="BAD_USER_INPUT", field="code")


@EDGES
async def test_an_invite_is_accepted_once_however_many_try_at_once(kind: type[Edge], tenant: Tenant) -> None:
    admin = kind(await tenant.key())
    invite = (await admin.create(email=ANN)).thing
    # An address may be that of several people; and one may be in a hurry.
    people = [await newcomer(tenant, ANN) for _ in range(3)]
    told = await asyncio.gather(*(kind(person).accept(invite["code"]) for person in people for _ in range(2)))
    assert sorted(one.code or "in" for one in told) == ["NOT_FOUND"] * 5 + ["in"]
    assert sum([await places_of(tenant, person) for person in people]) == 1
    # One person by several invites at once: one place.
    codes = [(await admin.create(isUrlInvite=True)).thing["code"] for _ in range(4)]
    person = await newcomer(tenant)
    told = await asyncio.gather(*(kind(person).accept(code) for code in codes))
    assert len({one.thing["id"] for one in told}) == 1
    assert await places_of(tenant, person) == 1


@EDGES
async def test_two_invites_of_one_address_at_once_make_one(kind: type[Edge], tenant: Tenant) -> None:
    edge = kind(await tenant.key())
    told = await asyncio.gather(*(edge.create(email=ANN) for _ in range(6)))
    assert sorted(one.code or "made" for one in told) == ["ALREADY_EXISTS"] * 5 + ["made"]


async def test_a_group_that_was_deleted_is_left_out(tenant: Tenant) -> None:
    key, [gone, kept] = await tenant.key(), await groups_of(tenant, "a", "b")
    invite = (await RestInvites(key).create(email=ANN, groupIds=[gone, kept])).thing
    await send_rest(key, "DELETE", f"/v1/workspace/groups/{gone}")
    assert [one["groups"] for one in (await RestInvites(key).list()).thing] == [[{"id": kept, "name": "b"}]]
    told = (await RestInvites(await newcomer(tenant, ANN)).accept(invite["code"])).thing
    assert told["groups"] == [{"id": kept, "name": "b"}]


@EDGES
async def test_a_workspace_has_room_for_so_many(kind: type[Edge], tenant: Tenant) -> None:
    place = {"workspace_id": tenant.id, "is_url_invite": True, "expires_at": datetime.now().astimezone() + LIFETIME}
    rows = [{**place, "id": new_id(), "code": uuid4().hex, "role": Role.MEMBER} for _ in range(MAX_INVITES)]
    async with tenant.database.begin() as connection:
        await connection.execute(insert(Invite), rows)
    edge = kind(await tenant.key())
    assert await edge.create(email=ANN) == EdgeResult(code="UNPROCESSABLE")
    await expire(tenant, str(rows[0]["id"]))
    assert (await edge.create(email=ANN)).code is None
    assert await edge.create(email="bob@x") == EdgeResult(code="UNPROCESSABLE")


async def test_a_create_may_be_repeated(tenant: Tenant) -> None:
    admin, headers = await tenant.user(Role.ADMIN), {"Idempotency-Key": "once"}
    answers = [await admin.http.post(place, json={"email": ANN}, headers=headers) for place in (PLACE, ALIAS)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    other = await admin.http.post(PLACE, json={"email": "b@x"}, headers=headers)
    assert (other.status_code, other.json()["error"]["param"]) == (422, "Idempotency-Key")


def test_codes_can_be_read_aloud() -> None:
    assert not set(ALPHABET) & set("01OIL")
    assert len(ALPHABET) == len(set(ALPHABET)) == 31
    assert len({new_code() for _ in range(1000)}) == 1000
