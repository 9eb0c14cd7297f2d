"""Another workspace can neither read, find, list, change, subscribe to nor infer anything: every field, every route
and every subscription is tried with the victim's ids, and must answer as it does for what never existed."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from graphql import build_client_schema, get_introspection_query
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.routing import Mount, Route

import rest_compat
from models import Role
from models.base import new_id
from rest_compat.family import Resource
from tests.conftest import House, Tenant, make_tenant
from tests.support.clients import Caller
from tests.support.house import Served
from tests.support.llm import Script
from tests.support.secrets import TABLES, Secrets, dump, singular
from tests.support.walk import EMAIL, PHRASE, Hole, Operation, Walk
from tests.test_main_job import ASK, CONVERSE, CREATE, indexed

PUBLIC = {"models", "defaultModel"}
# Stored, and shown by no field.
NEVER_SHOWN = {"notes.index_content", "messages.model_id", "messages.agent_type", "messages.error", "events.payload"}


@dataclass
class Victim:
    tenant: Tenant
    secrets: Secrets
    people: dict[str, Caller]
    own: dict[str, dict[str, str]]
    cursors: list[str]

    @property
    def ids(self) -> dict[str, list[str]]:
        return self.secrets.ids


async def things_of(caller: Caller, tenant: Tenant, title: str) -> dict[str, str]:
    """One of each thing that an operation may need an id of: a note, a conversation about it, its reply, a tag."""
    note = (await caller.data(CREATE, input={"title": title, "summary": title, "transcripts": [SEGMENT]}))["createNote"]
    await indexed(caller, note["id"])
    talk = (await caller.data(CONVERSE, note=note["id"]))["createConversation"]
    *_, done = await caller.subscribed(ASK, c=talk["id"], m=title)
    reply = done["data"]["ask"]["messageId"]
    tag = str(new_id())
    await sql(
        tenant.database,
        "INSERT INTO tags (id, workspace_id, name, color) VALUES (:tag, :workspace, :name, '#00aa00')",
        tag=tag,
        workspace=tenant.id,
        name=tag,
    )
    return {"note": note["id"], "conversation": talk["id"], "message": reply, "tag": tag, "model": "caret/extractive"}


SEGMENT = {"speaker": "A", "text": PHRASE, "startTimestamp": "00:00:00", "endTimestamp": "00:00:01"}


async def sql(database: AsyncEngine, statement: str, **values: Any) -> None:
    async with database.begin() as connection:
        await connection.execute(text(statement), values)


@pytest.fixture(scope="module")
async def victim(house: House, server: Served, database: AsyncEngine) -> AsyncIterator[Victim]:
    tenant = await make_tenant(server, database)
    secrets = Secrets(tenant.id)
    house.llm.on(PHRASE, Script(pieces=[secrets.secret("?")]))
    people = {"key": await tenant.key(), "user": await tenant.user(Role.ADMIN)}
    own = {name: await things_of(person, tenant, PHRASE) for name, person in people.items()}
    user = own["user"]
    await sql(database, "UPDATE notes SET visibility = 'private' WHERE id = :note", note=user["note"])
    place = {"workspace": tenant.id, "note": user["note"]}
    await sql(
        database,
        """INSERT INTO suggestions (id, workspace_id, conversation_id, note_id, message_id, status, suggested_text)
        VALUES (:id, :workspace, :talk, :note, :message, 'proposed', '')""",
        **place,
        id=new_id(),
        talk=user["conversation"],
        message=user["message"],
    )
    await sql(
        database,
        "INSERT INTO note_shares (id, workspace_id, note_id, user_id) VALUES (:id, :workspace, :note, :user)",
        **place,
        id=new_id(),
        user=people["user"].user_id,
    )
    for things in own.values():
        tagged = {"workspace": tenant.id, "note": things["note"], "tag": things["tag"]}
        await sql(
            database, "INSERT INTO note_tags (note_id, tag_id, workspace_id) VALUES (:note, :tag, :workspace)", **tagged
        )
    await sql(database, "DELETE FROM note_tags WHERE tag_id = :tag", tag=own["key"]["tag"])
    await sql(database, "DELETE FROM tags WHERE id = :tag", tag=own["key"]["tag"])
    async with database.begin() as connection:
        await secrets.plant(connection)
    yield Victim(tenant, secrets, people, own, await cursors_of(people["user"], user))
    house.llm.scripts.pop(PHRASE)
    for caller in tenant.callers:
        await caller.close()


async def cursors_of(caller: Caller, own: dict[str, str]) -> list[str]:
    """One of each kind of cursor that the server gives out."""
    page = (await caller.data("{ notes { pageInfo { endCursor } } }"))["notes"]["pageInfo"]["endCursor"]
    told = await caller.subscribed("subscription($m: ID!) { reply(messageId: $m) { cursor } }", m=own["message"])
    async with caller.socket() as socket:
        name = await socket.start("subscription { workspaceEvents { cursor } }")
        await asyncio.sleep(0.2)
        await caller.data(UPDATE, note=own["note"], input={"meetingApp": "x"})
        event = (await socket.next(name))["payload"]["data"]["workspaceEvents"]["cursor"]
    return [page, told[0]["data"]["reply"]["cursor"], event]


UPDATE = "mutation($note: ID!, $input: UpdateNoteInput!) { updateNote(id: $note, input: $input) { id } }"
