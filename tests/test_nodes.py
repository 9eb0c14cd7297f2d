"""`node` and `nodes`: whatever has an id, found by it alone, for whom it is there."""

from typing import Any
from uuid import uuid4

import pytest

from models import Role
from models.base import new_id
from resolvers.nodes import KINDS, MAX_NODES
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.samples import create_people, create_webhook, sql
from tests.test_main_job import CONVERSE, CREATE

KIND_OF = {
    "note": "Note",
    "segment": "TranscriptSegment",
    "tag": "Tag",
    "folder": "Folder",
    "conversation": "Conversation",
    "message": "Message",
    "suggestion": "Suggestion",
    "workspace": "Workspace",
    "user": "User",
    "member": "Member",
    "group": "Group",
    "invite": "Invite",
    "api_key": "ApiKey",
    "webhook": "Webhook",
    "delivery": "WebhookDelivery",
}
NODE = "query($id: ID!) { node(id: $id) { __typename id } }"
NODES = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
WHOLE = """query($ids: [ID!]!) { nodes(ids: $ids) {
  ... on Note { id title kind tags { name } createdBy { id } transcripts { nodes { id } } }
  ... on TranscriptSegment { speaker text }
  ... on Conversation { talkTitle: title note { id } }
  ... on User { name email }
  ... on Member { role user { name } groups { name memberCount } }
  ... on Group { groupName: name memberCount }
  ... on Invite { code groups { name } }
  ... on ApiKey { keyName: name scopes }
} }"""
SEGMENT = {"speaker": "Ann", "text": "Hi", "startTimestamp": "00:00:01", "endTimestamp": "00:00:02"}


async def all_of(caller: Caller, tenant: Tenant) -> dict[str, str]:
    """One of each kind, by the name of its type, as the caller has them."""
    note = (await caller.data(CREATE, input={"title": "Ours", "transcripts": [SEGMENT]}))["createNote"]["id"]
    part = "query($id: ID!) { note(id: $id) { transcripts { nodes { id } } createdBy { id } } }"
    told = (await caller.data(part, id=note))["note"]
    talk = (await caller.data(CONVERSE, note=note))["createConversation"]["id"]
    made = {name: str(new_id()) for name in ("tag", "folder", "message", "suggestion")}
    place = {"w": tenant.id}
    await sql(
        tenant.database, "INSERT INTO tags (id, workspace_id, name, color) VALUES (:tag, :w, 'x', '#000000')",
        tag=made["tag"], **place,
    )  # fmt: skip
    await sql(
        tenant.database, "INSERT INTO folders (id, workspace_id, name) VALUES (:folder, :w, 'x')",
        folder=made["folder"], **place,
    )  # fmt: skip
    await sql(
        tenant.database,
        """INSERT INTO messages (id, workspace_id, conversation_id, role, content, state)
        VALUES (:message, :w, :talk, 'user', 'x', 'done')""",
        message=made["message"], talk=talk, **place,
    )  # fmt: skip
    await sql(
        tenant.database,
        """INSERT INTO suggestions (id, workspace_id, conversation_id, note_id, status, suggested_text)
        VALUES (:suggestion, :w, :talk, :note, 'proposed', 'x')""",
        suggestion=made["suggestion"], talk=talk, note=note, **place,
    )  # fmt: skip
    made |= {"note": note, "segment": told["transcripts"]["nodes"][0]["id"], "conversation": talk}
    made |= {"workspace": str(tenant.id), "user": told["createdBy"]["id"]} | await create_people(tenant)
    made |= await create_webhook(tenant)
    return {KIND_OF[name]: ident for name, ident in made.items()}


@pytest.fixture(params=["key", "admin"])
async def owner(request: pytest.FixtureRequest, tenant: Tenant) -> Caller:
    return await (tenant.key() if request.param == "key" else tenant.user(Role.ADMIN))


async def seen(caller: Caller, made: dict[str, str]) -> set[str]:
    """The kinds that the caller finds, by both fields."""
    found = (await caller.data(NODES, ids=list(made.values())))["nodes"]
    assert [one["id"] for one in found if one] == [
        ident for one, ident in zip(found, made.values(), strict=True) if one
    ]
    kinds = {one["__typename"] for one in found if one}
    for name, ident in made.items():
        wanted = {"__typename": name, "id": ident} if name in kinds else None
        assert await caller.data(NODE, id=ident) == {"node": wanted}
    return kinds


async def test_every_kind_is_found(owner: Caller, tenant: Tenant) -> None:
    made = await all_of(owner, tenant)
    assert set(made) == set(KINDS), "a kind is not tried here"
    assert await seen(owner, made) == set(KINDS)


async def test_every_type_that_is_a_node_is_found(tenant: Tenant) -> None:
    key = await tenant.key()
    told = await key.data('{ __type(name: "Node") { possibleTypes { name } } }')
    assert {one["name"] for one in told["__type"]["possibleTypes"]} == set(KINDS)


async def test_what_is_found_has_its_own_fields(owner: Caller, tenant: Tenant) -> None:
    made = await all_of(owner, tenant)
    named = ["Note", "TranscriptSegment", "Conversation", "Member", "Group", "Invite", "ApiKey"]
    told = (await owner.data(WHOLE, ids=[made[name] for name in named]))["nodes"]
    code = told[5]["code"]
    assert told == [
        {
            "id": made["Note"],
            "title": "Ours",
            "kind": "ONLINE",
            "tags": [],
            "createdBy": {"id": made["User"]},
            "transcripts": {"nodes": [{"id": made["TranscriptSegment"]}]},
        },
        {"speaker": "Ann", "text": "Hi"},
        {"talkTitle": None, "note": {"id": made["Note"]}},
        {"role": "MEMBER", "user": {"name": "x"}, "groups": [{"name": made["Group"], "memberCount": 1}]},
        {"groupName": made["Group"], "memberCount": 1},
        {"code": code, "groups": [{"name": made["Group"]}]},
        {"keyName": "x", "scopes": ["folders", "notes", "users", "webhooks"]},
    ]


async def test_the_order_is_the_callers(tenant: Tenant) -> None:
    key = await tenant.key()
    made = await all_of(key, tenant)
    ids = [*made.values(), str(uuid4()), "nobody", "", "x" * 300, *reversed(made.values())]
    told = [one and one["id"] for one in (await key.data(NODES, ids=ids))["nodes"]]
    assert told == [*made.values(), *[None] * 4, *reversed(made.values())]
    assert await key.data(NODES, ids=[]) == {"nodes": []}
    for ident in (str(uuid4()), "nobody", "\x00", "🙂"):
        assert await key.data(NODE, id=ident) == {"node": None}


async def test_so_many_at_a_time(tenant: Tenant) -> None:
    key = await tenant.key()
    ident = str(tenant.id)
    told = (await key.data(NODES, ids=[ident] * MAX_NODES))["nodes"]
    assert told == [{"__typename": "Workspace", "id": ident}] * MAX_NODES
    assert await key.code(NODES, ids=[ident] * (MAX_NODES + 1)) == "BAD_USER_INPUT"


async def test_outsiders_find_nothing(owner: Caller, tenant: Tenant, stranger: Tenant) -> None:
    made = await all_of(owner, tenant)
    for outsider in (await stranger.key(), await stranger.user(Role.ADMIN)):
        assert await seen(outsider, made) == set()


async def test_members_find_what_they_may_read(owner: Caller, tenant: Tenant) -> None:
    made = await all_of(owner, tenant)
    member = await tenant.user()
    # A conversation is its owner's, and only admins see who is invited and which keys and webhooks there are.
    hidden = {"Conversation", "Message", "Suggestion", "Invite", "ApiKey", "Webhook", "WebhookDelivery"}
    assert await seen(member, made) == set(KINDS) - hidden
    await sql(tenant.database, "UPDATE notes SET visibility = 'private' WHERE id = :note", note=made["Note"])
    await sql(tenant.database, "UPDATE folders SET is_private = true WHERE id = :folder", folder=made["Folder"])
    assert await seen(member, made) == set(KINDS) - hidden - {"Note", "TranscriptSegment", "Folder"}


async def test_a_share_opens_the_note_alone(tenant: Tenant, stranger: Tenant) -> None:
    made, guest = await all_of(await tenant.key(), tenant), await stranger.user()
    share = "INSERT INTO note_shares (id, workspace_id, note_id, user_id) VALUES (:id, :w, :note, :user)"
    await sql(tenant.database, share, id=new_id(), w=tenant.id, note=made["Note"], user=guest.user_id)
    assert await seen(guest, made) == {"Note", "TranscriptSegment"}


OPEN: dict[str, set[str]] = {
    "notes:read": {"Note", "TranscriptSegment", "Tag", "Conversation", "Message", "Suggestion", "Workspace"},
    "folders": {"Folder", "Workspace"},
    "users:read": {"Workspace", "User", "Member", "Group", "Invite", "ApiKey"},
    "webhooks:read": {"Workspace", "Webhook", "WebhookDelivery"},
}


@pytest.mark.parametrize(("scope", "kinds"), OPEN.items())
async def test_a_key_finds_what_its_scopes_are_for(tenant: Tenant, scope: str, kinds: set[str]) -> None:
    made = await all_of(await tenant.key(), tenant)
    assert await seen(await tenant.key(scope), made) == kinds


async def test_expired_invites_and_nobodys_people_are_not_found(tenant: Tenant) -> None:
    key = await tenant.key()
    made: dict[str, Any] = await all_of(key, tenant)
    await sql(tenant.database, "UPDATE invites SET expires_at = now() WHERE id = :id", id=made["Invite"])
    gone = await tenant.user()
    await sql(tenant.database, "DELETE FROM members WHERE user_id = :id", id=gone.user_id)
    assert await key.data(NODE, id=made["Invite"]) == await key.data(NODE, id=str(gone.user_id)) == {"node": None}


async def test_nobody_finds_nothing(tenant: Tenant) -> None:
    nobody = Caller(tenant.server, "")
    assert await nobody.code(NODE, id=str(tenant.id)) == "UNAUTHENTICATED"
    await nobody.close()
