"""Who may do what inside a workspace: private notes, shares, one's own conversations, scopes, and losing one's place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from models import Role
from models.base import new_id
from tests.conftest import Tenant
from tests.support.clients import Caller, Socket
from tests.support.house import Served
from tests.support.routes import OPEN, request_of, requests
from tests.support.things import UPDATE, answer_of, filled, running, sql, things_of
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


async def written(caller: Caller, **more: Any) -> str:
    """A note of the caller's that the search knows."""
    note = (await caller.data(CREATE, input={"title": "Budget", "summary": TEXT, **more}))["createNote"]
    await indexed(caller, note["id"])
    return str(note["id"])


async def seen(caller: Caller, note: str) -> set[str]:
    """In which ways the caller comes across the note, the only one of its workspace."""
    data = await caller.data(LOOK, id=note)
    listed = (await caller.http.get("/v1/notes")).json()["items"]
    wanted = {"query": TEXT, "document_id": note}
    ways = {
        "id": data["note"] is not None,
        "list": note in [one["id"] for one in data["notes"]["nodes"]],
        "count": data["notes"]["totalCount"] > 0,
        "words": note in [one["id"] for one in data["words"]["nodes"]],
        "meaning": note in [hit["note"]["id"] for hit in data["meaning"]],
        "rest id": (await caller.http.get(f"/v1/notes/{note}")).status_code == 200,
        "rest list": note in [one["id"] for one in listed],
        "rest search": (await caller.http.post("/api/v1/ai/embeddings/search", json=wanted)).status_code == 200,
        "talk": "errors" not in await caller.graphql(CONVERSE, note=note),
    }
    return {way for way, found in ways.items() if found}


@asynccontextmanager
async def listening(caller: Caller, query: str = EVENTS, **variables: Any) -> AsyncIterator[tuple[Socket, str]]:
    async with caller.socket() as socket:
        name = await socket.start(query, **variables)
        # The subscription is told nothing of before, so it must be there before anything happens.
        await asyncio.sleep(0.2)
        yield socket, name


async def event(heard: tuple[Socket, str], field: str = "workspaceEvents") -> dict[str, Any]:
    socket, name = heard
    message = await socket.next(name)
    assert message["type"] == "next", message
    told: dict[str, Any] = message["payload"]["data"][field]
    return told


async def test_a_private_note_is_its_writers_and_the_admins(tenant: Tenant) -> None:
    writer, member = await tenant.user(), await tenant.user()
    admin, key = await tenant.user(Role.ADMIN), await tenant.key()
    note = await written(writer, visibility="PRIVATE")
    for caller in (writer, admin, key):
        assert await seen(caller, note) == EVERYWHERE
    assert await seen(member, note) == set()
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
    "mutation($note: ID!) { indexNote(noteId: $note, content: \"spam\") { chunksIndexed } }": {},
    "mutation($note: ID!) { deleteEmbeddings(noteId: $note) }": {},
    "mutation($note: ID!) { deleteNote(id: $note) }": {},
}


async def test_a_member_edits_but_does_not_manage_what_is_anothers(tenant: Tenant) -> None:
    writer, member = await tenant.user(), await tenant.user()
    admin, key = await tenant.user(Role.ADMIN), await tenant.key()
    note = await written(writer)
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


async def test_a_share_opens_one_note_for_reading_until_it_is_withdrawn(tenant: Tenant, stranger: Tenant) -> None:
    writer, member, outsider = await tenant.user(), await tenant.user(), await stranger.user()
    note = await written(writer, visibility="PRIVATE")
    for user in (member, outsider):
        assert await seen(user, note) == set()
        values = {"id": new_id(), "workspace": tenant.id, "note": note, "user": user.user_id}
        await sql(tenant.database, SHARE, **values)
    # A list is of one's own workspace.
    assert await seen(member, note) == EVERYWHERE
    assert await seen(outsider, note) == {"id", "rest id", "rest search", "talk"}
    await written(writer)
    for user in (member, outsider):
        for query, variables in CHANGES.items():
            assert await user.code(query, note=note, **variables) == "FORBIDDEN", query
    found = (await outsider.data(LOOK, id=note, n=note))["meaning"]
    assert {hit["note"]["id"] for hit in found} == {note}

    talk = (await outsider.data(CONVERSE, note=note))["createConversation"]["id"]
    async with listening(outsider, NOTE_EVENTS, n=note) as heard:
        await writer.data(UPDATE, note=note, input={"title": "Heard"})
        assert await event(heard, "noteEvents") == {"type": "NOTE_UPDATED", "note": {"title": "Heard"}}
        assert (await event(heard, "noteEvents"))["type"] == "NOTE_INDEXED"
        await sql(tenant.database, "DELETE FROM note_shares WHERE note_id = :note", note=note)
        await writer.data(UPDATE, note=note, input={"meetingApp": "Unheard"})
        assert await seen(outsider, note) == set()
        assert await outsider.code(LOOK, id=note, n=note) == "NOT_FOUND"
        for field in ("touchConversation(id: $c) { id }", "deleteConversation(id: $c)"):
            assert await outsider.code(f"mutation($c: ID!) {{ {field} }}", c=talk) == "NOT_FOUND"
        assert await outsider.data("query($c: ID!) { conversation(id: $c) { id } }", c=talk) == {"conversation": None}
        [refused] = await outsider.subscribed(ASK, c=talk, m="And now?")
        assert refused["errors"][0]["extensions"]["code"] == "NOT_FOUND"
        # What comes next is what was said after a new share: nothing of between.
        values = {"id": new_id(), "workspace": tenant.id, "note": note, "user": outsider.user_id}
        await sql(tenant.database, SHARE, **values)
        await writer.data("mutation($n: ID!) { deleteNote(id: $n) }", n=note)
        assert await event(heard, "noteEvents") == {"type": "NOTE_DELETED", "note": None}


async def test_a_conversation_is_nobody_elses(tenant: Tenant, schema_operations: Any) -> None:
    owner, others = await tenant.user(), [await tenant.user(), await tenant.user(Role.ADMIN), await tenant.key()]
    async with listening(others[0]) as first, listening(others[1]) as second, listening(others[2]) as third:
        mine = await things_of(owner, tenant, "Ours")
        names = {"conversation": mine["conversation"], "message": mine["message"]}
        for other in others:
            own = await things_of(other, tenant, "Theirs")
            await refused_everywhere(other, {**own, **names}, schema_operations)
            listed = "query($n: ID!) { note(id: $n) { conversations { totalCount nodes { id } } } }"
            data = await other.data(listed, n=mine["note"])
            assert data["note"]["conversations"] == {"totalCount": 0, "nodes": []}
        for heard, other in zip((first, second, third), others, strict=True):
            fence = (await other.data(CREATE, input={"title": "Fence"}))["createNote"]["id"]
            while (told := await event(heard))["noteId"] != fence:
                assert (told["conversation"] or {}).get("id") != mine["conversation"]
                assert told["type"].startswith("NOTE_") or told["noteId"] != mine["note"], told
    for field, name in (("conversation", "conversation"), ("reply", "message")):
        assert field
        assert names[name]
