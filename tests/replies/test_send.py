"""A message that is sent again with its idempotency key is sent once, by whatever edge and to whatever process."""

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from models.base import new_id
from tests.conftest import Services, Tenant
from tests.faults.helpers import Asked, conversation, elsewhere, follow, one_ending, text
from tests.support.clients import Caller
from tests.support.llm import Script
from tests.support.servers import RunningServer

MESSAGE = "id role content state tokenCount createdAt"
SEND = f"""mutation($c: ID!, $input: SendMessageInput!) {{
  sendMessage(conversationId: $c, input: $input) {{ userMessage {{ {MESSAGE} }} reply {{ {MESSAGE} }} }}
}}"""
ASK = """subscription($c: ID!, $input: SendMessageInput!) { ask(conversationId: $c, input: $input) {
  __typename messageId ... on ReplyDelta { content } ... on ReplyDone { message { content state } }
} }"""
REUSED_KEY = "This idempotency key was used for another request before."


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


async def send(caller: Caller, talk: str, **fields: Any) -> Any:
    return (await caller.data(SEND, c=talk, input={"noteId": None, **fields}))["sendMessage"]


async def refused(caller: Caller, talk: str, **fields: Any) -> tuple[str, str | None]:
    """The code of the refusal and the field it names."""
    [error] = (await caller.graphql(SEND, c=talk, input={"noteId": None, **fields}))["errors"]
    return error["extensions"]["code"], error["extensions"].get("field")


async def posted(caller: Caller, talk: str, key: str | None, **body: Any) -> httpx.Response:
    """The answer of REST, which is a refusal or the whole stream."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return await caller.http.post(f"/api/v1/ai/conversations/{talk}/stream", json=body, headers=headers)


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]


async def roles(database: AsyncEngine, talk: str) -> list[str]:
    query = sql("SELECT role FROM messages WHERE conversation_id = CAST(:c AS uuid) ORDER BY created_at, id")
    async with database.connect() as connection:
        return list((await connection.execute(query, {"c": talk})).scalars())


async def test_a_repeat_gets_the_same_messages(tenant: Tenant, services: Services, gate: threading.Event) -> None:
    """While the reply runs, and after its end: then as they are by then."""
    services.llm.on("say it once", Script(["Once ", "only."], gate=gate))
    caller = await tenant.user()
    _, talk = await conversation(caller)
    first = await send(caller, talk, message="say it once", idempotencyKey="k")
    question = {"role": "USER", "content": "say it once", "state": "DONE", "tokenCount": 3}
    assert first == {
        "userMessage": {**question, "id": first["userMessage"]["id"], "createdAt": first["userMessage"]["createdAt"]},
        "reply": {
            "id": first["reply"]["id"],
            "role": "ASSISTANT",
            "content": "",
            "state": "STREAMING",
            "tokenCount": None,
            "createdAt": first["userMessage"]["createdAt"],
        },
    }
    again = await send(caller, talk, message="say it once", idempotencyKey="k")
    assert again["userMessage"] == first["userMessage"]
    assert (again["reply"]["id"], again["reply"]["state"]) == (first["reply"]["id"], "STREAMING")
    # Without the key, or with another, it is another message.
    assert await refused(caller, talk, message="say it once") == ("ALREADY_REPLYING", None)
    assert await refused(caller, talk, message="say it once", idempotencyKey="l") == ("ALREADY_REPLYING", None)
    gate.set()
    received = await follow(Asked(caller, "", talk, first["reply"]["id"]))
    assert text(received) == one_ending(received)["message"]["content"] == "Once only."
    ended = await send(caller, talk, message="say it once", idempotencyKey="k")
    done = {"content": "Once only.", "state": "DONE", "tokenCount": 2}
    assert ended == {"userMessage": first["userMessage"], "reply": {**first["reply"], **done}}
    assert await roles(tenant.database, talk) == ["user", "assistant"]
    assert len(services.llm.requests_with("say it once")) == 2  # The answer, and the title.
    # The key that was refused is free.
    other = await send(caller, talk, message="say it once", idempotencyKey="l")
    assert other["reply"]["id"] != first["reply"]["id"]


async def test_twenty_simultaneous_sends_with_one_key_are_one_message(
    tenant: Tenant, services: Services, other_server: RunningServer, gate: threading.Event
) -> None:
    """By subscription and by SSE, over two servers: all of them hear the one reply from its start."""
    services.llm.on("all at once", Script(["One ", "for ", "all."], gate=gate))
    here = await tenant.user()
    there = elsewhere(tenant, here, other_server)
    _, talk = await conversation(here)
    fields = {"message": "all at once", "noteId": None, "idempotencyKey": "k"}

    async def ask_by_subscription(caller: Caller) -> list[Any]:
        return [one["data"]["ask"] for one in await caller.subscribed(ASK, c=talk, input=fields)]

    async def ask_by_post(caller: Caller) -> list[Any]:
        return events(await posted(caller, talk, "k", message="all at once"))

    tasks = [
        asyncio.create_task(way(at))
        for at in (here, there)
        for way in (ask_by_subscription, ask_by_post)
        for _ in range(5)
    ]
    async with asyncio.timeout(20):
        while not services.llm.requests_with("all at once"):
            await asyncio.sleep(0.02)
    gate.set()
    results = await asyncio.gather(*tasks)
    [reply] = {one[-1].get("messageId") or one[-1]["message_id"] for one in results}
    for received in results:
        kinds = [event.get("__typename") or event["type"] for event in received]
        assert kinds in (["ReplyDelta"] * 3 + ["ReplyDone"], ["delta"] * 3 + ["done"])
        assert "".join(event["content"] for event in received[:3]) == "One for all."
    assert await roles(tenant.database, talk) == ["user", "assistant"]
    # Long after its end, a repeat gets the whole reply once more.
    received = events(await posted(there, talk, "k", message="all at once"))
    assert (received[-1]["type"], received[-1]["message_id"], received[-1]["content"]) == (
        "done",
        reply,
        "One for all.",
    )
    # Not the same to GraphQL, where an absent `noteId` means another thing than null.
    fields.pop("noteId")
    [error] = (await here.graphql(SEND, c=talk, input=fields))["errors"]
    assert error["extensions"]["code"] == "UNPROCESSABLE"


async def test_a_key_with_another_input_is_refused(tenant: Tenant) -> None:
    caller = await tenant.user()
    note, talk = await conversation(caller)
    _, other = await conversation(caller)
    await send(caller, talk, message="one thing", idempotencyKey="k")
    wrong: list[tuple[str, dict[str, Any]]] = [
        (talk, {"message": "another thing"}),
        (talk, {"message": "one thing", "agentType": "ANALYST"}),
        (talk, {"message": "one thing", "noteId": note}),
        (talk, {"message": "one thing", "documentContext": {"contentText": "x"}}),
        (other, {"message": "one thing"}),
    ]
    for conversation_id, fields in wrong:
        assert await refused(caller, conversation_id, **fields, idempotencyKey="k") == (
            "UNPROCESSABLE",
            "idempotencyKey",
        )
    answer = await posted(caller, talk, "k", message="another thing")
    assert (answer.status_code, answer.json()) == (
        422,
        {
            "detail": [{"type": "value_error", "loc": ["body", "Idempotency-Key"], "msg": REUSED_KEY, "input": None}],
            "error": REUSED_KEY,
            "code": "unprocessable",
        },
    )
    assert await roles(tenant.database, other) == []
    # A key is its caller's own.
    someone = await tenant.user()
    _, theirs = await conversation(someone)
    assert (await send(someone, theirs, message="another thing", idempotencyKey="k"))["reply"]["state"] == "STREAMING"


async def test_a_refused_send_leaves_its_key_unused(tenant: Tenant, stranger: Tenant) -> None:
    caller = await tenant.user()
    _, talk = await conversation(caller)
    assert await refused(caller, talk, message="x", modelId="no/such", idempotencyKey="k") == (
        "BAD_USER_INPUT",
        "modelId",
    )
    assert await refused(caller, str(new_id()), message="x", idempotencyKey="k") == ("NOT_FOUND", None)
    theirs, _ = await conversation(await stranger.user())
    assert await refused(caller, talk, message="x", noteId=theirs, idempotencyKey="k") == ("NOT_FOUND", None)
    assert (await send(caller, talk, message="x", idempotencyKey="k"))["userMessage"]["content"] == "x"


@pytest.mark.parametrize(("key", "fine"), [("k", True), ("k" * 255, True), ("", False), ("k" * 256, False)])
async def test_a_key_has_1_to_255_characters(tenant: Tenant, key: str, fine: bool) -> None:
    caller = await tenant.user()
    _, talk = await conversation(caller)
    if fine:
        sent = await send(caller, talk, message="x", idempotencyKey=key)
        assert events(await posted(caller, talk, key, message="x"))[-1]["message_id"] == sent["reply"]["id"]
        return
    message = "An idempotency key has 1 to 255 characters."
    assert await refused(caller, talk, message="x", idempotencyKey=key) == ("BAD_USER_INPUT", "idempotencyKey")
    answer = await posted(caller, talk, key, message="x")
    assert (answer.status_code, answer.json()) == (
        422,
        {
            "detail": [{"type": "value_error", "loc": ["body", "Idempotency-Key"], "msg": message, "input": None}],
            "error": message,
            "code": "invalid_parameter",
        },
    )
    assert await roles(tenant.database, talk) == []


async def test_without_a_key_each_send_is_another_message(tenant: Tenant) -> None:
    caller = await tenant.user()
    _, talk = await conversation(caller)
    for _ in range(2):
        assert events(await posted(caller, talk, None, message="x"))[-1]["type"] == "done"
    assert await roles(tenant.database, talk) == ["user", "assistant"] * 2


async def test_a_key_outlives_its_conversation(tenant: Tenant) -> None:
    caller = await tenant.user()
    _, talk = await conversation(caller)
    await send(caller, talk, message="x", idempotencyKey="k")
    await caller.data("mutation($c: ID!) { deleteConversation(id: $c) }", c=talk)
    assert await refused(caller, talk, message="x", idempotencyKey="k") == ("NOT_FOUND", None)
