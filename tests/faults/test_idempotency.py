"""Creates with an idempotency key: one thing however often and at once they come, over any server and either edge."""

import asyncio
import json
from collections.abc import Callable
from itertools import cycle
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from models.base import new_id
from tests.conftest import Tenant
from tests.faults.helpers import elsewhere
from tests.support.clients import Caller
from tests.support.servers import RunningServer
from tests.support.sizes import size
from tests.test_main_job import CREATE

REQUESTS_PER_EDGE = size(30, 100)
"""Both edges together send more than the 40 connections that two servers have to the database."""
FIELDS = "id title visibility revision createdAt tags { id name color }"
CREATE_NOTE = f"mutation($input: CreateNoteInput!) {{ createNote(input: $input) {{ {FIELDS} }} }}"


async def by_rest(caller: Caller, key: str | None, **fields: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await caller.http.post("/v1/notes", json=fields, headers=headers)


async def by_graphql(caller: Caller, key: str | None, **fields: Any) -> httpx.Response:
    variables = {"input": {**fields, "idempotencyKey": key}}
    return await caller.http.post("/graphql", json={"query": CREATE_NOTE, "variables": variables})


def note_id(answer: httpx.Response) -> str:
    """The id of the note, by either edge."""
    body = answer.json()
    assert "errors" not in body, body
    ident: str = (body.get("note") or body["data"]["createNote"])["id"]
    return ident


async def count(database: AsyncEngine, tenant: Tenant, table: str = "notes") -> int:
    async with database.connect() as connection:
        query = text(f"SELECT count(*) FROM {table} WHERE workspace_id = :w")
        return int((await connection.execute(query, {"w": tenant.id})).scalar_one())


@pytest.mark.soak
async def test_many_equal_creates_at_once_make_one_note(
    tenant: Tenant, server: RunningServer, other_server: RunningServer, database: AsyncEngine
) -> None:
    """Half by REST and half by GraphQL, over two servers with 20 connections to the database each."""
    key = await tenant.key()
    tag = str(new_id())
    async with database.begin() as connection:
        query = text("INSERT INTO tags (id, workspace_id, name, color) VALUES (:id, :w, 'a', '#00aa00')")
        await connection.execute(query, {"id": tag, "w": tenant.id})
    fields: dict[str, Any] = {
        "title": "The one",
        "summary": "A summary.",
        "tagIds": [tag],
        "contentJson": {"b": [1, None], "a": 2.5},
    }
    fields["participants"] = [{"name": "Ann", "email": "Ann@people.example"}]
    fields["transcripts"] = [{"speaker": "A", "text": "Hi", "startTimestamp": "00:00:00", "endTimestamp": "00:00:01"}]
    callers = [elsewhere(tenant, key, served) for served in (server, other_server) for _ in range(4)]
    ways: list[Callable[..., Any]] = [by_rest, by_graphql]
    chosen = [
        (ways[number // REQUESTS_PER_EDGE], caller)
        for number, caller in zip(range(2 * REQUESTS_PER_EDGE), cycle(callers), strict=False)
    ]
    answers = await asyncio.gather(*(way(caller, "the one", **fields) for way, caller in chosen))
    assert [answer.status_code for answer in answers] == [201] * REQUESTS_PER_EDGE + [200] * REQUESTS_PER_EDGE
    # Whole answers; over GraphQL what was selected.
    [rest] = {answer.text for answer in answers[:REQUESTS_PER_EDGE]}
    [graphql] = {answer.text for answer in answers[REQUESTS_PER_EDGE:]}
    note, same = json.loads(rest)["note"], json.loads(graphql)["data"]["createNote"]
    assert {name: note[name] for name in ("id", "title", "revision", "tags")} == {
        name: same[name] for name in ("id", "title", "revision", "tags")
    }
    assert len({answer.headers["ETag"] for answer in answers[:REQUESTS_PER_EDGE]}) == 1
    tables = ("notes", "idempotency_keys", "note_tags", "transcript_segments")
    assert [await count(database, tenant, table) for table in tables] == [1, 1, 1, 1]
    assert await count(database, tenant, "(SELECT * FROM events WHERE type = 'note.created')") == 1


async def test_the_same_key_with_another_input_is_refused(tenant: Tenant, database: AsyncEngine) -> None:
    key = await tenant.key()
    first = note_id(await by_rest(key, "k", title="One"))
    answer = await by_rest(key, "k", title="Two")
    message = "This idempotency key was used for another request before."
    assert answer.status_code == 422
    assert answer.json() == {
        "error": {
            "code": "unprocessable",
            "message": message,
            "type": "validation_error",
            "param": "Idempotency-Key",
        },
        "message": message,
        "code": "unprocessable",
        "errors": {"Idempotency-Key": message},
    }
    [error] = (await by_graphql(key, "k", title="Two")).json()["errors"]
    assert error["extensions"].pop("requestId")
    assert (error["message"], error["extensions"]) == (
        message,
        {"code": "UNPROCESSABLE", "status": 422, "field": "idempotencyKey"},
    )
    assert note_id(await by_rest(key, "k", title="One")) == note_id(await by_graphql(key, "k", title="One")) == first
    # A field that is not sent has its default.
    assert note_id(await by_graphql(key, "k", title="One", kind="ONLINE", tagIds=[])) == first
    # Another operation with the same key is another request.
    talk = await key.http.post(
        "/api/v1/ai/conversations", json={"document_id": first}, headers={"Idempotency-Key": "k"}
    )
    assert talk.status_code == 422
    assert await count(database, tenant) == 1


async def test_keys_belong_to_their_caller(tenant: Tenant, stranger: Tenant, database: AsyncEngine) -> None:
    callers = [await tenant.key(), await tenant.key(), await tenant.user(), await tenant.user(), await stranger.key()]
    ids = [note_id(await by_rest(caller, "k", title="One")) for caller in callers]
    assert len(set(ids)) == 5
    assert [note_id(await by_graphql(caller, "k", title="One")) for caller in callers] == ids
    assert (await count(database, tenant), await count(database, stranger)) == (4, 1)


async def test_a_create_that_failed_leaves_its_key_free(tenant: Tenant, database: AsyncEngine) -> None:
    key = await tenant.key()
    for way in (by_rest, by_graphql):
        refusal = await way(key, "k", title="One", tagIds=[str(new_id())])
        assert "Unknown tag" in refusal.text
        assert (await way(key, "k", title="")).json().get("data") is None
    assert await count(database, tenant, "idempotency_keys") == 0
    assert note_id(await by_rest(key, "k", title="One")) == note_id(await by_graphql(key, "k", title="One"))


async def test_requests_that_wait_for_a_failing_one_continue(tenant: Tenant, database: AsyncEngine) -> None:
    """Twenty wrong requests at once: none waits for ever, and none stores the key."""
    key = await tenant.key()
    wrong = [by_rest(key, "k", title="One", tagIds=[str(new_id())]) for _ in range(20)]
    assert {answer.status_code for answer in await asyncio.gather(*wrong)} == {422}
    right = await asyncio.gather(*(by_rest(key, "k", title="One") for _ in range(20)))
    assert len({note_id(answer) for answer in right}) == 1
    assert await count(database, tenant) == 1


@pytest.mark.parametrize(
    ("length", "is_valid"), [(0, False), (1, True), (255, True), (256, False), (5000, False)], ids=str
)
async def test_a_key_has_1_to_255_characters(
    tenant: Tenant, length: int, is_valid: bool, database: AsyncEngine
) -> None:
    caller = await tenant.key()
    key = "k" * length
    rest, graphql = await by_rest(caller, key, title="One"), await by_graphql(caller, key, title="One")
    if is_valid:
        assert note_id(rest) == note_id(graphql)
        return
    message = "An idempotency key has 1 to 255 characters."
    assert rest.status_code == 400
    assert rest.json()["error"] == {
        "code": "invalid_parameter",
        "message": message,
        "type": "validation_error",
        "param": "Idempotency-Key",
    }
    [error] = graphql.json()["errors"]
    assert (error["message"], error["extensions"]["code"], error["extensions"]["field"]) == (
        message,
        "BAD_USER_INPUT",
        "idempotencyKey",
    )
    assert await count(database, tenant) == 0


async def test_a_key_may_have_any_characters(tenant: Tenant) -> None:
    caller = await tenant.key()
    for odd in ("💡" * 255, "' OR 1=1 --", "\u202e\u0301", "a\nb\t"):
        assert note_id(await by_graphql(caller, odd, title="One")) == note_id(
            await by_graphql(caller, odd, title="One")
        )
    [error] = (await by_graphql(caller, "a\0b", title="One")).json()["errors"]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("BAD_USER_INPUT", "idempotencyKey")
    bytes_ = {"Idempotency-Key": b"\xff\xfe\xe4"}
    answers = [await caller.http.post("/v1/notes", json={"title": "One"}, headers=bytes_) for _ in range(2)]  # type: ignore[arg-type]
    assert len({note_id(answer) for answer in answers}) == 1


async def test_creates_without_a_key_make_a_note_each(tenant: Tenant) -> None:
    caller = await tenant.key()
    ids = {note_id(await way(caller, None, title="One")) for way in (by_rest, by_graphql) for _ in range(2)}
    assert len(ids) == 4


async def test_a_key_can_be_used_anew_after_a_day(tenant: Tenant, database: AsyncEngine) -> None:
    caller = await tenant.key()
    first = note_id(await by_rest(caller, "k", title="One"))

    async def pass_time(interval: str) -> None:
        shifted = "UPDATE idempotency_keys SET created_at = created_at - CAST(:i AS interval) WHERE workspace_id = :w"
        async with database.begin() as connection:
            await connection.execute(text(shifted.replace(":i", f"'{interval}'")), {"w": tenant.id})

    await pass_time("23 hours 58 minutes")
    assert note_id(await by_rest(caller, "k", title="One")) == first
    await pass_time("2 minutes")
    later = await asyncio.gather(*(by_rest(caller, "k", title="Another") for _ in range(10)))
    assert len({note_id(answer) for answer in later}) == 1
    assert note_id(later[0]) != first
    assert await count(database, tenant) == 2


async def test_a_deleted_note_is_not_created_again(tenant: Tenant) -> None:
    """A repeated create returns the note of the first one, which was deleted: NOT_FOUND."""
    caller = await tenant.key()
    note = note_id(await by_rest(caller, "k", title="One"))
    assert (await caller.http.delete(f"/v1/notes/{note}")).status_code == 200
    assert (await by_rest(caller, "k", title="One")).status_code == 404
    assert await caller.code(CREATE, input={"title": "One", "idempotencyKey": "k"}) == "NOT_FOUND"


async def test_a_conversation_is_created_once(tenant: Tenant, database: AsyncEngine) -> None:
    caller = await tenant.user()
    note = note_id(await by_rest(caller, None, title="One"))
    make = "mutation($input: CreateConversationInput!) { createConversation(input: $input) { id } }"

    async def rest() -> str:
        body, headers = {"document_id": note, "title": "T"}, {"Idempotency-Key": "k"}
        answer = await caller.http.post("/api/v1/ai/conversations", json=body, headers=headers)
        assert answer.status_code == 201
        return str(answer.json()["id"])

    async def graphql() -> str:
        data = await caller.data(make, input={"noteId": note, "title": "T", "idempotencyKey": "k"})
        return str(data["createConversation"]["id"])

    ids = await asyncio.gather(*(way() for way in (rest, graphql) for _ in range(10)))
    assert len(set(ids)) == 1
    assert await count(database, tenant, "conversations") == 1
    answer = await caller.http.post(
        "/api/v1/ai/conversations", json={"document_id": note}, headers={"Idempotency-Key": ""}
    )
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "Idempotency-Key"])
