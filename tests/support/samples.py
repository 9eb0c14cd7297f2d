"""Things of a workspace to try operations on, and ways to run the walked operations."""

from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

import httpx
from graphql import build_client_schema, get_introspection_query
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from models.base import new_id
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.secrets import TABLES, singular
from tests.support.servers import RunningServer
from tests.support.walk import PHRASE, Hole, Operation, Walk
from tests.test_main_job import ASK, CONVERSE, CREATE, indexed

UPDATE = "mutation($note: ID!, $input: UpdateNoteInput!) { updateNote(id: $note, input: $input) { id } }"
SUGGEST = "mutation($input: CreateSuggestionInput!) { createSuggestion(input: $input) { id } }"
SEGMENT = {"speaker": "A", "text": PHRASE, "startTimestamp": "00:00:00", "endTimestamp": "00:00:01"}


async def sql(database: AsyncEngine, statement: str, **values: Any) -> None:
    async with database.begin() as connection:
        await connection.execute(text(statement), values)


async def create_samples(caller: Caller, tenant: Tenant, title: str) -> dict[str, str]:
    """Creates one row of each kind that an operation may need an id of. Returns the ids by kind."""
    note = (await caller.data(CREATE, input={"title": title, "summary": title, "transcripts": [SEGMENT]}))["createNote"]
    await indexed(caller, note["id"])
    talk = (await caller.data(CONVERSE, note=note["id"]))["createConversation"]
    *_, done = await caller.subscribed(ASK, c=talk["id"], m=title)
    reply = done["data"]["ask"]["messageId"]
    edit = {"conversationId": talk["id"], "noteId": note["id"], "messageId": reply, "suggestedText": title}
    suggestion = (await caller.data(SUGGEST, input=edit))["createSuggestion"]["id"]
    tag = str(new_id())
    await sql(
        tenant.database,
        "INSERT INTO tags (id, workspace_id, name, color) VALUES (:tag, :workspace, :name, '#00aa00')",
        tag=tag,
        workspace=tenant.id,
        name=tag,
    )
    folder = str(new_id())
    await sql(
        tenant.database,
        "INSERT INTO folders (id, workspace_id, name, icon, color) VALUES (:folder, :workspace, 'x', 'x', 'x')",
        folder=folder,
        workspace=tenant.id,
    )
    recording = str(new_id())
    await sql(
        tenant.database,
        """INSERT INTO recordings (id, workspace_id, note_id, state, content_type, extension, duration_sec, audio_url,
        upload_key, error) VALUES (:recording, :workspace, :note, 'awaited', 'audio/wav', 'wav', 3, 'x', :key, 'x')""",
        recording=recording,
        workspace=tenant.id,
        note=note["id"],
        key=b"k",
    )
    author = await caller.data("query($id: ID!) { note(id: $id) { createdBy { id } } }", id=note["id"])
    ids = {"note": note["id"], "conversation": talk["id"], "message": reply, "tag": tag, "recording": recording}
    ids |= {"folder": folder, "suggestion": suggestion}
    return (
        ids
        | await create_people(tenant)
        | await create_webhook(tenant)
        | {
            "user": author["note"]["createdBy"]["id"],
            "workspace": str(tenant.id),
            "model": "caret/extractive",
        }
    )


async def create_people(tenant: Tenant) -> dict[str, str]:
    """A member in a group, an invite into it, and a key."""
    ids = {kind: str(new_id()) for kind in ("group", "invite", "member", "api_key", "person")}
    values = ids | {"workspace": tenant.id, "name": ids["group"], "code": uuid4().hex, "digest": uuid4().bytes}
    for statement in (
        "INSERT INTO groups (id, workspace_id, name, description) VALUES (:group, :workspace, :name, 'x')",
        "INSERT INTO users (id, name, email, profile_url) VALUES (:person, 'x', 'x@y', 'x')",
        "INSERT INTO members (id, workspace_id, user_id, role) VALUES (:member, :workspace, :person, 'member')",
        "INSERT INTO group_members (workspace_id, group_id, member_id) VALUES (:workspace, :group, :member)",
        """INSERT INTO invites (id, workspace_id, email, code, role, expires_at)
        VALUES (:invite, :workspace, :code || '@x', :code, 'member', now() + interval '1 day')""",
        "INSERT INTO invite_groups (workspace_id, group_id, invite_id) VALUES (:workspace, :group, :invite)",
        """INSERT INTO api_keys (id, workspace_id, name, prefix, digest)
        VALUES (:api_key, :workspace, 'x', 'x', :digest)""",
    ):
        # Only what it names: asyncpg must know of what type each value is.
        named = {name: value for name, value in values.items() if f":{name}" in statement}
        await sql(tenant.database, statement, **named)
    ids.pop("person")
    return ids


async def create_webhook(tenant: Tenant) -> dict[str, str]:
    """An endpoint that is switched off, and what it was sent before: no worker touches them."""
    ids = {kind: str(new_id()) for kind in ("webhook", "delivery")}
    await sql(
        tenant.database,
        """INSERT INTO webhooks (id, workspace_id, url, label, events, is_active, disabled_reason, secret)
        VALUES (:webhook, :workspace, 'https://x.example', 'x', '{note.created}', false, 'x', :secret)""",
        webhook=ids["webhook"],
        workspace=tenant.id,
        secret=b"x",
    )
    await sql(
        tenant.database,
        """INSERT INTO deliveries (id, workspace_id, webhook_id, event_id, type, body, status, request_headers,
        response_headers, response_body, error) VALUES (:delivery, :workspace, :webhook, :delivery, 'test', :body,
        'delivered', '{}', '{}', 'x', 'x')""",
        **ids,
        workspace=tenant.id,
        body=b'{"payload": {}}',
    )
    return ids


async def fetch_schema(server: RunningServer) -> Walk:
    """The schema by introspection of the running server."""
    nobody = Caller(server, "")
    result = await nobody.graphql(get_introspection_query())
    await nobody.close()
    return Walk(build_client_schema(result["data"]), frozenset(map(singular, TABLES)) | {"model"})


def fill_variables(
    operation: Operation, own: dict[str, str], at: Hole | None = None, ident: str = ""
) -> dict[str, Any]:
    def fill(hole: Hole) -> str:
        if hole == at:
            return ident
        assert hole.kind in {*own, "foreign", "cursor"}, f"make a {hole.kind} in things_of for {operation.name}"
        return own.get(hole.kind, "x")

    return operation.filled(fill)


def send_operation(caller: Caller, operation: Operation, variables: dict[str, Any]) -> Awaitable[httpx.Response]:
    return caller.http.post("/graphql", json={"query": operation.text, "variables": variables})
