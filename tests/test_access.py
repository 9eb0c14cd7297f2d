"""Access control in a workspace: private notes, shares, conversations, scopes, revoked keys and ended memberships."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from models import Role
from models.base import new_id
from resolvers.auth import credentials
from resolvers.core.database import Transaction
from tests.conftest import Services, Tenant
from tests.support.clients import Caller, Socket
from tests.support.llm import Script
from tests.support.routes import OPEN, SIGNED, request_of, requests
from tests.support.samples import UPDATE, create_samples, fetch_schema, fill_variables, send_operation, sql
from tests.support.servers import RunningServer
from tests.support.walk import Operation
from tests.test_main_job import ASK, CONVERSE, CREATE, indexed

TEXT = "The aardvark budget was approved by the harbour master."
LOOK = """query($id: ID!, $n: ID) {
  note(id: $id) { id title }
  notes { totalCount nodes { id } }
  words: notes(filter: {search: "aardvark harbour"}) { nodes { id } }
  meaning: search(query: "aardvark budget", noteId: $n) { note { id } chunkText }
}"""
EVENTS = "subscription { workspaceEvents { type noteId conversation { id } message { content } } }"
NOTE_EVENTS = "subscription($n: ID!) { noteEvents(noteId: $n) { type note { title } } }"
EVERYWHERE = {"id", "list", "count", "words", "meaning", "rest id", "rest list", "rest search", "talk"}
SHARE = "INSERT INTO note_shares (id, workspace_id, note_id, user_id) VALUES (:id, :workspace, :note, :user)"


async def create_indexed_note(caller: Caller, **more: Any) -> str:
    """Creates a note and waits until it is indexed. Returns its id."""
    note = (await caller.data(CREATE, input={"title": "Budget", "summary": TEXT, **more}))["createNote"]
    await indexed(caller, note["id"])
    return str(note["id"])


async def find_ways(caller: Caller, note: str) -> set[str]:
    """The ways in which the caller can find the note, which is the only one of its workspace."""
    data = await caller.data(LOOK, id=note)
    listed = (await caller.http.get("/v1/notes")).json()["items"]
    search = {"query": TEXT, "document_id": note}
    ways = {
        "id": data["note"] is not None,
        "list": note in [one["id"] for one in data["notes"]["nodes"]],
        "count": data["notes"]["totalCount"] > 0,
        "words": note in [one["id"] for one in data["words"]["nodes"]],
        "meaning": note in [hit["note"]["id"] for hit in data["meaning"]],
        "rest id": (await caller.http.get(f"/v1/notes/{note}")).status_code == 200,
        "rest list": note in [one["id"] for one in listed],
        "rest search": (await caller.http.post("/api/v1/ai/embeddings/search", json=search)).status_code == 200,
        "talk": "errors" not in await caller.graphql(CONVERSE, note=note),
    }
    return {way for way, is_visible in ways.items() if is_visible}


@asynccontextmanager
async def listening(caller: Caller, query: str = EVENTS, **variables: Any) -> AsyncIterator[tuple[Socket, str]]:
    async with caller.socket() as socket:
        yield socket, await socket.start_live(query, **variables)


async def event(subscription: tuple[Socket, str], field: str = "workspaceEvents") -> dict[str, Any]:
    socket, name = subscription
    message = await socket.next(name)
    assert message["type"] == "next", message
    data: dict[str, Any] = message["payload"]["data"][field]
    return data


async def ended(subscription: tuple[Socket, str]) -> str:
    """The code of the error that ends a stream."""
    socket, name = subscription
    message = await socket.next(name)
    assert message["type"] == "error", message
    [error] = message["payload"]
    return str(error["extensions"]["code"])


async def test_a_private_note_is_visible_to_its_creator_and_the_admins(tenant: Tenant) -> None:
    writer, member = await tenant.user(), await tenant.user()
    admin, key = await tenant.user(Role.ADMIN), await tenant.key()
    note = await create_indexed_note(writer, visibility="PRIVATE")
    for caller in (writer, admin, key):
        assert await find_ways(caller, note) == EVERYWHERE
    assert await find_ways(member, note) == set()
    for query, variables in CHANGES.items():
        assert await member.code(query, note=note, **variables) == "FORBIDDEN", query

    async with listening(member) as to_member, listening(admin) as to_admin:
        await writer.data(UPDATE, note=note, input={"title": "Still private"})
        await writer.data("mutation($n: ID!) { deleteNote(id: $n) }", n=note)
        fence = (await writer.data(CREATE, input={"title": "For all"}))["createNote"]["id"]
        assert (await event(to_member))["noteId"] == fence
        assert [(await event(to_admin))["noteId"] for _ in range(2)] == [note, note]


SEGMENT = '{speaker: "A", text: "B", startTimestamp: "00:00:00", endTimestamp: "00:00:01"}'
CHANGES: dict[str, dict[str, Any]] = {
    UPDATE: {"input": {"title": "Mine now"}},
    f"mutation($note: ID!) {{ appendTranscript(noteId: $note, segments: [{SEGMENT}]) {{ id }} }}": {},
    'mutation($note: ID!) { indexNote(noteId: $note, content: "spam") { chunksIndexed } }': {},
    "mutation($note: ID!) { deleteEmbeddings(noteId: $note) }": {},
    "mutation($note: ID!) { deleteNote(id: $note) }": {},
}


async def test_a_member_edits_but_does_not_manage_anothers_note(tenant: Tenant) -> None:
    writer, member = await tenant.user(), await tenant.user()
    admin, key = await tenant.user(Role.ADMIN), await tenant.key()
    note = await create_indexed_note(writer)
    delete = "mutation($note: ID!) { deleteNote(id: $note) }"
    await member.data(UPDATE, note=note, input={"title": "Edited"})
    for managing in ({"visibility": "PRIVATE"}, {"title": "Both", "visibility": "WORKSPACE"}):
        assert await member.code(UPDATE, note=note, input=managing) == "FORBIDDEN"
    assert await member.code(delete, note=note) == "FORBIDDEN"
    assert (await member.http.delete(f"/v1/notes/{note}")).status_code == 403
    assert (await member.http.patch(f"/v1/notes/{note}", json={"visibility": "private"})).status_code == 403
    assert (await member.data(LOOK, id=note))["note"] == {"id": note, "title": "Edited"}
    for visibility, manager in (("SHARED", writer), ("WORKSPACE", admin), ("SHARED", key)):
        await manager.data(UPDATE, note=note, input={"visibility": visibility})
    await admin.data(delete, note=note)


async def test_a_share_lets_a_user_read_one_note(tenant: Tenant, stranger: Tenant) -> None:
    writer, member, outsider = await tenant.user(), await tenant.user(), await stranger.user()
    note = await create_indexed_note(writer, visibility="PRIVATE")
    for user in (member, outsider):
        assert await find_ways(user, note) == set()
        values = {"id": new_id(), "workspace": tenant.id, "note": note, "user": user.user_id}
        await sql(tenant.database, SHARE, **values)
    # A list has the notes of the caller's own workspace.
    assert await find_ways(member, note) == EVERYWHERE
    assert await find_ways(outsider, note) == {"id", "rest id", "rest search", "talk"}
    await create_indexed_note(writer)
    for user in (member, outsider):
        for query, variables in CHANGES.items():
            assert await user.code(query, note=note, **variables) == "FORBIDDEN", query
    hits = (await outsider.data(LOOK, id=note, n=note))["meaning"]
    assert {hit["note"]["id"] for hit in hits} == {note}

    talk = (await outsider.data(CONVERSE, note=note))["createConversation"]["id"]
    async with listening(outsider, NOTE_EVENTS, n=note) as subscription:
        await writer.data(UPDATE, note=note, input={"title": "Heard"})
        assert await event(subscription, "noteEvents") == {"type": "NOTE_UPDATED", "note": {"title": "Heard"}}
        assert (await event(subscription, "noteEvents"))["type"] == "NOTE_INDEXED"
        await sql(tenant.database, "DELETE FROM note_shares WHERE note_id = :note", note=note)
        await writer.data(UPDATE, note=note, input={"meetingApp": "Unheard"})
        assert await find_ways(outsider, note) == set()
        assert await outsider.code(LOOK, id=note, n=note) == "NOT_FOUND"
        for field in ("touchConversation(id: $c) { id }", "deleteConversation(id: $c)"):
            assert await outsider.code(f"mutation($c: ID!) {{ {field} }}", c=talk) == "NOT_FOUND"
        assert await outsider.data("query($c: ID!) { conversation(id: $c) { id } }", c=talk) == {"conversation": None}
        [refused] = await outsider.subscribed(ASK, c=talk, m="And now?")
        assert refused["errors"][0]["extensions"]["code"] == "NOT_FOUND"
        # The stream ends with the first change that the subscriber may not see.
        assert await ended(subscription) == "NOT_FOUND"


@pytest.mark.parametrize("edge", ["graphql", "rest"])
async def test_a_replys_stream_ends_when_its_key_is_revoked(tenant: Tenant, services: Services, edge: str) -> None:
    writer, word = await tenant.key(), uuid.uuid4().hex
    services.llm.on(word, Script(pieces=["piece "] * 600, delay=0.05))
    note = await create_indexed_note(writer)
    talk = (await writer.data(CONVERSE, note=note))["createConversation"]["id"]
    path = f"/api/v1/ai/conversations/{talk}/stream"
    revoke = "UPDATE api_keys SET revoked_at = now() WHERE workspace_id = :workspace AND name = 'test'"
    async with asyncio.timeout(30):
        if edge == "graphql":
            async with writer.socket() as socket:
                name = await socket.start(ASK, c=talk, m=word)
                assert (await socket.next(name))["type"] == "next"
                await sql(tenant.database, revoke, workspace=tenant.id)
                while (message := await socket.next(name))["type"] == "next":
                    pass
                assert message["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        else:
            async with writer.sse("POST", path, json={"message": word}) as events:
                await anext(events)
                await sql(tenant.database, revoke, workspace=tenant.id)
                *_, last = [orjson.loads(event.data) async for event in events]
            assert (last["type"], last["content"]) == ("error", "This API key is unknown or was revoked.")


PERSONAL = {"conversation", "message", "suggestion"}


async def test_a_conversation_is_private_to_its_owner(tenant: Tenant, server: RunningServer) -> None:
    walk = await fetch_schema(server)
    owner, others = await tenant.user(), [await tenant.user(), await tenant.user(Role.ADMIN), await tenant.key()]
    async with (
        listening(others[0]) as to_member,
        listening(others[1]) as to_admin,
        listening(others[2]) as to_key,
    ):
        samples = await create_samples(owner, tenant, "Ours")
        for other, subscription in zip(others, (to_member, to_admin, to_key), strict=True):
            for operation in walk.operations("query", "mutation"):
                if operation.extra is None and {hole.kind for hole in operation.holes} & PERSONAL:
                    answer = (await send_operation(other, operation, fill_variables(operation, samples))).json()
                    assert codes(answer) == ["NOT_FOUND"] or answer["data"] == {operation.field: None}, operation.name
            for operation in walk.operations("subscription"):
                if operation.field in {"ask", "reply"} and operation.extra is None:
                    [refused] = await other.subscribed(operation.text, **fill_variables(operation, samples))
                    assert codes(refused) == ["NOT_FOUND"]
            for request in requests():
                if re.search(r"conversations/\{id\}|/suggestions", request.text) and request.extra is None:
                    assert (await request_of(other, request, fill_variables(request, samples))).status_code == 404, (
                        request.name
                    )
            listed = "query($n: ID!) { note(id: $n) { conversations { totalCount nodes { id } } } }"
            about = (await other.data(listed, n=samples["note"]))["note"]["conversations"]
            assert about == {"totalCount": 0, "nodes": []}
            fence = (await other.data(CREATE, input={"title": "Fence"}))["createNote"]["id"]
            while (received := await event(subscription))["noteId"] != fence:
                assert received["type"].startswith("NOTE_"), received


def codes(answer: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


# What a key may always query, whatever its scopes: who it is, and what is open to all.
ALWAYS = {"viewer", "workspace", "models", "defaultModel", "rateLimit"}
# Fields that include people or folders, which need scopes of their own.
MIXED = {"viewer", "workspace", "apiKeys", "webhook", "webhooks", "webhookEvents"}
ELSEWHERE = re.compile(r"/v1/(workspace/)?(members|groups|invites|folders|webhooks|integrations)\b")
OF_WEBHOOKS = re.compile(r"webhook|redeliver", re.IGNORECASE)
BY_ID = {"node": {"node": None}, "nodes": {"nodes": [None]}}
"""The data for a key without the scope: nothing, and no error."""
FOR_PEOPLE = {"acceptInvite"}
WHO_AM_I = {"GET /v1/me", "GET /v1/workspace"}
READING = "POST /api/v1/ai/embeddings/search"
LACKS_SCOPE = ["INSUFFICIENT_SCOPE"]


@pytest.mark.parametrize(("scope", "reads"), [("notes:read", True), ("webhooks", False)])
async def test_a_key_is_limited_to_its_scopes(scope: str, reads: bool, tenant: Tenant, server: RunningServer) -> None:
    walk = await fetch_schema(server)
    full, limited = await tenant.key(), await tenant.key(scope)
    own = await create_samples(full, tenant, "Ours")
    for operation in walk.operations("query", "mutation"):
        if operation.extra is None:
            answer = (await send_operation(limited, operation, fill_variables(operation, own))).json()
            if scope == "webhooks" and OF_WEBHOOKS.search(operation.field):
                assert codes(answer) != LACKS_SCOPE, operation.name
            elif reads and operation.root == "query":
                allowed = set(LACKS_SCOPE) if operation.field in MIXED else set()
                assert set(codes(answer)) <= allowed, (operation.name, answer)
            else:
                lacks_scope(operation, answer, own)
    for request in requests():
        if request.extra is None and request.text != SIGNED:
            answer = await request_of(limited, request, fill_variables(request, own))
            reading = request.root in {"GET", "HEAD"} or request.text == READING
            fine = scope == "webhooks" and OF_WEBHOOKS.search(request.text)
            if fine or request.text in {OPEN, *WHO_AM_I} or (reads and reading and not ELSEWHERE.search(request.text)):
                assert answer.status_code != 403, request.name
            else:
                assert answer.status_code == 403, (request.name, answer.text)
                code = "forbidden" if request.text.endswith("invites/accept") else "insufficient_scope"
                assert request.root == "HEAD" or answer.json()["code"] == code
    for operation in walk.operations("subscription"):
        if operation.extra is None and not (reads and operation.field != "ask"):
            [refused] = await limited.subscribed(operation.text, **fill_variables(operation, own))
            assert codes(refused) == LACKS_SCOPE, operation.name
    assert (await full.data(LOOK, id=own["note"]))["note"] == {"id": own["note"], "title": "Ours"}


def lacks_scope(operation: Operation, answer: dict[str, Any], own: dict[str, str]) -> None:
    """What an operation answers to a key that lacks the scope for it."""
    if operation.field in BY_ID:
        assert answer == {"data": BY_ID[operation.field]}, operation.name
    elif operation.field in ALWAYS:
        assert own["tag"] not in str(answer), operation.name
    else:
        assert codes(answer) == (["FORBIDDEN"] if operation.field in FOR_PEOPLE else LACKS_SCOPE), operation.name


async def test_an_empty_list_of_scopes_gives_no_access(tenant: Tenant, database: AsyncEngine) -> None:
    async with database.begin() as connection:
        key = await credentials.create_key(Transaction(connection), tenant.id, "none", [])
    none = Caller(tenant.server, key)
    assert await none.code("{ notes { totalCount } }") == "INSUFFICIENT_SCOPE"
    assert await none.data("{ viewer { scopes } }") == {"viewer": {"scopes": []}}
    await none.close()


REVOKE = "UPDATE api_keys SET revoked_at = now() WHERE workspace_id = :workspace AND name = 'test'"
LEAVE = "DELETE FROM members WHERE user_id = :user"


@pytest.mark.parametrize(
    ("who", "code", "status"), [("key", "UNAUTHENTICATED", 401), ("user", "FORBIDDEN", 200)], ids=["revoked", "removed"]
)
async def test_a_revoked_key_or_membership_ends_access_at_once(
    tenant: Tenant, who: str, code: str, status: int
) -> None:
    """On the next request, on the open subscription at its next event, and on what else is done by the open socket."""
    stays, goes = await tenant.user(), await (tenant.key() if who == "key" else tenant.user())
    note = (await stays.data(CREATE, input={"title": "Before"}))["createNote"]["id"]
    async with listening(goes) as (socket, name):
        await stays.data(UPDATE, note=note, input={"title": "Heard"})
        assert (await event((socket, name)))["noteId"] == note
        if who == "key":
            await sql(tenant.database, REVOKE, workspace=tenant.id)
        else:
            await sql(tenant.database, LEAVE, user=goes.user_id)
        await stays.data(UPDATE, note=note, input={"title": "Unheard"})
        message: dict[str, Any] = {"type": "next", "payload": {"data": {"workspaceEvents": None}}}
        while message["type"] == "next" and not codes(message["payload"]):
            message = await socket.next(name)
            # Indexing may still tell of the first change, until the place is lost.
            assert "Unheard" not in str(message)
        ended = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert [error["extensions"]["code"] for error in ended] == [code]
        for operation in (LIST, "subscription { workspaceEvents { id } }", WRITE):
            [refused] = [payload async for payload in socket.subscribe(operation)]
            assert codes(refused) == [code], operation
    # A person without a workspace gets a personal one again, as on their first day; a key is nobody any more.
    response = await goes.http.post("/graphql", json={"query": LIST})
    assert response.status_code == status
    assert status != 200 or response.json()["data"]["notes"] == {"totalCount": 0}
    assert (await goes.http.get(f"/v1/notes/{note}")).status_code == {401: 401, 200: 404}[status]


LIST = "{ notes { totalCount } }"
WRITE = 'mutation { createNote(input: {title: "x"}) { id } }'
