"""Shares, a thing of GraphQL: who gives them, what they open, and what ends with them."""

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import insert, text

from models import Note, Role, User
from models.base import new_id
from models.note import MAX_SHARES
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.rest import EdgeResult, send_mutation
from tests.test_access import NOTE_EVENTS, ended, event, listening
from tests.test_main_job import CREATE

SHARE = "mutation($note: ID!, $user: ID!) { shareNote(noteId: $note, userId: $user) { id revision updatedAt } }"
UNSHARE = "mutation($note: ID!, $user: ID!) { unshareNote(noteId: $note, userId: $user) { id revision updatedAt } }"
SHARED = "query($id: ID!) { note(id: $id) { sharedWith { id name email } } }"
UPDATE = "mutation($id: ID!, $title: String) { updateNote(id: $id, input: {title: $title}) { id } }"
GET = "query($id: ID!) { note(id: $id) { title revision updatedAt } }"


async def written(caller: Caller, **fields: Any) -> str:
    fields = {"title": "A", "visibility": "PRIVATE", **fields}
    return str((await caller.data(CREATE, input=fields))["createNote"]["id"])


async def share(caller: Caller, note: str, user: object, query: str = SHARE) -> EdgeResult:
    return await send_mutation(caller, query, note=note, user=str(user))


async def shared_with(caller: Caller, note: str) -> list[str] | None:
    shown = (await caller.data(SHARED, id=note))["note"]
    return shown and [person["id"] for person in shown["sharedWith"]]


async def reads(caller: Caller, note: str) -> bool:
    by_rest = (await caller.http.get(f"/v1/notes/{note}")).status_code == 200
    assert ((await caller.data(GET, id=note))["note"] is not None) == by_rest
    return by_rest


async def test_a_share_opens_a_note_until_it_is_withdrawn(tenant: Tenant, stranger: Tenant) -> None:
    writer, member, outsider = await tenant.user(), await tenant.user(), await stranger.user(name="Out")
    note = await written(writer)
    for user in (member, outsider):
        assert not await reads(user, note)
        # No change of the note itself.
        assert (await share(writer, note, user.user_id)).thing["revision"] == 1
        assert await reads(user, note)
        assert await send_mutation(user, UPDATE, id=note, title="B") == EdgeResult(code="FORBIDDEN")
        assert await share(user, note, writer.user_id) == EdgeResult(code="FORBIDDEN")
        assert await share(user, note, user.user_id, UNSHARE) == EdgeResult(code="FORBIDDEN")
    # An outsider's address is theirs.
    assert (await writer.data(SHARED, id=note))["note"]["sharedWith"] == [
        {"id": str(member.user_id), "name": "Someone", "email": f"{member.user_id}@people.example"},
        {"id": str(outsider.user_id), "name": "Out", "email": None},
    ]
    for user in (member, outsider):
        assert await shared_with(user, note) == []
        await share(writer, note, user.user_id, UNSHARE)
        assert not await reads(user, note)
    assert await shared_with(writer, note) == []


async def test_who_manages_a_note_shares_it(tenant: Tenant, stranger: Tenant) -> None:
    writer, member, other = await tenant.user(), await tenant.user(), await tenant.user()
    managers = [writer, await tenant.user(Role.ADMIN), await tenant.key()]
    note, ours = await written(writer), await written(writer, visibility="WORKSPACE")
    for manager in managers:
        for ident in (note, ours):
            assert (await share(manager, ident, other.user_id)).thing["id"] == ident
            assert await shared_with(manager, ident) == [str(other.user_id)]
            assert (await share(manager, ident, other.user_id, UNSHARE)).thing["id"] == ident
    await share(writer, ours, other.user_id)
    assert await shared_with(member, ours) == []
    assert await share(member, ours, other.user_id) == EdgeResult(code="FORBIDDEN")
    assert await share(member, note, other.user_id) == EdgeResult(code="FORBIDDEN")
    for outsider in (await stranger.user(Role.ADMIN), await stranger.key()):
        for query in (SHARE, UNSHARE):
            assert await share(outsider, ours, other.user_id, query) == EdgeResult(code="NOT_FOUND")
    for ident in (str(uuid.uuid4()), "x"):
        assert await share(writer, ident, other.user_id) == EdgeResult(code="NOT_FOUND")


async def test_only_people_get_a_share(tenant: Tenant, stranger: Tenant) -> None:
    key = await tenant.key()
    note = await written(key)
    async with tenant.database.connect() as connection:
        query = text("SELECT user_id FROM workspaces WHERE id IN (:own, :other)")
        robots = (await connection.execute(query, {"own": tenant.id, "other": stranger.id})).scalars().all()
    for nobody in (*robots, uuid.uuid4(), "x", "\x00"):
        assert await share(key, note, nobody) == EdgeResult(code="UNPROCESSABLE", field="userId")
        assert (await share(key, note, nobody, UNSHARE)).thing["id"] == note
    assert await shared_with(key, note) == []


async def test_a_note_is_shared_with_so_many(tenant: Tenant) -> None:
    writer = await tenant.user()
    note, last = await written(writer), [await tenant.user() for _ in range(4)]
    people = [{"id": uuid.uuid4(), "name": str(number)} for number in range(MAX_SHARES - 2)]
    shares = [{"id": new_id(), "workspace_id": tenant.id, "note_id": note, "user_id": one["id"]} for one in people]
    async with tenant.database.begin() as connection:
        await connection.execute(insert(User), people)
        await connection.execute(insert(Note.metadata.tables["note_shares"]), shares)
    told = await asyncio.gather(*(share(writer, note, one.user_id) for one in last))
    assert sorted((one.code or "shared", one.field) for one in told if one.code) == [("UNPROCESSABLE", "userId")] * 2
    assert len(await shared_with(writer, note) or []) == MAX_SHARES
    # Who has it already is no further one.
    assert (await share(writer, note, people[0]["id"])).code is None


async def test_a_share_given_twice_is_one(tenant: Tenant) -> None:
    writer, other = await tenant.user(), await tenant.user()
    note = await written(writer)
    told = await asyncio.gather(*(share(writer, note, other.user_id) for _ in range(6)))
    assert {one.code for one in told} == {None}
    assert await shared_with(writer, note) == [str(other.user_id)]


async def test_what_is_heard_of_a_share(tenant: Tenant, stranger: Tenant) -> None:
    """Who may read it hears of it; who no longer may is told so once, in the words for a note that never was."""
    writer, reader = await tenant.user(), await stranger.user()
    note = await written(writer)
    async with listening(writer, NOTE_EVENTS, n=note) as to_writer:
        await share(writer, note, reader.user_id)
        async with listening(reader, NOTE_EVENTS, n=note) as to_reader:
            # No change: nothing to tell.
            await share(writer, note, reader.user_id)
            await writer.data(UPDATE, id=note, title="Heard")
            assert await said(to_reader) == ("NOTE_UPDATED", "Heard")
            await share(writer, note, reader.user_id, UNSHARE)
            await share(writer, note, reader.user_id, UNSHARE)
            await writer.data(UPDATE, id=note, title="Unheard")
            assert [(await said(to_writer))[0] for _ in range(4)] == ["NOTE_UPDATED"] * 4
            assert await ended(to_reader) == "NOT_FOUND"
        await share(writer, note, reader.user_id)
        async with listening(reader, NOTE_EVENTS, n=note) as to_reader:
            assert (await said(to_writer))[0] == "NOTE_UPDATED"
            await writer.data("mutation($n: ID!) { deleteNote(id: $n) }", n=note)
            assert [(await said(heard))[0] for heard in (to_reader, to_writer)] == ["NOTE_DELETED"] * 2


async def said(heard: Any) -> tuple[str, str | None]:
    """The next event that is about the note itself: when it is indexed is the worker's business."""
    while (told := await event(heard, "noteEvents"))["type"] == "NOTE_INDEXED":
        pass
    return told["type"], told["note"] and told["note"]["title"]


@pytest.mark.parametrize(("scope", "code"), [("notes", None), ("notes:read", "INSUFFICIENT_SCOPE")])
async def test_shares_are_of_the_scope_notes(tenant: Tenant, scope: str, code: str | None) -> None:
    user, key = await tenant.user(), await tenant.key(scope)
    note = await written(user)
    for query in (SHARE, UNSHARE):
        assert (await share(key, note, user.user_id, query)).code == code
    assert await shared_with(key, note) == []
