"""The main job from end to end: write a note, find it by meaning, ask about it, watch the answer arrive."""

import asyncio
from typing import Any

import orjson

from tests.conftest import Services, Tenant
from tests.support.clients import Caller
from tests.support.llm import Script

CREATE = "mutation($input: CreateNoteInput!) { createNote(input: $input) { id title revision } }"
SEARCH = "query($q: String!) { search(query: $q, first: 3) { score chunkText note { id title } } }"
CONVERSE = "mutation($note: ID!) { createConversation(input: {noteId: $note}) { id title } }"
ASK = """subscription($c: ID!, $m: String!, $model: ID) {
  ask(conversationId: $c, input: {message: $m, modelId: $model}) {
  __typename cursor messageId
  ... on ReplyDelta { content }
  ... on ReplyDone { message { id content state tokenCount } }
  ... on ReplyFailed { reason }
} }"""


async def indexed(caller: Caller, note_id: str) -> None:
    """Waits until the worker has indexed the note."""
    async with asyncio.timeout(120):
        while not (await caller.data("query($id: ID!) { note(id: $id) { chunkCount } }", id=note_id))["note"][
            "chunkCount"
        ]:
            await asyncio.sleep(0.05)


async def test_write_find_ask_and_read_again(tenant: Tenant) -> None:
    key = await tenant.key()
    text = "The heating in the Lisbon office is broken and the landlord ignores our letters."
    note = (await key.data(CREATE, input={"title": "Facilities", "summary": text}))["createNote"]
    await key.data(CREATE, input={"title": "Lunch", "summary": "We will order pizza on Friday."})
    await indexed(key, note["id"])

    hits = (await key.data(SEARCH, q="cold rooms in Portugal"))["search"]
    assert hits[0]["note"] == {"id": note["id"], "title": "Facilities"}

    conversation = (await key.data(CONVERSE, note=note["id"]))["createConversation"]
    question = "What is wrong with the heating?"
    events = await key.subscribed(ASK, c=conversation["id"], m=question, model="caret/extractive")
    *deltas, done = [payload["data"]["ask"] for payload in events]
    assert len(deltas) > 5
    assert {event["__typename"] for event in deltas} == {"ReplyDelta"}
    answer = "".join(event["content"] for event in deltas)
    assert text in answer
    assert done["__typename"] == "ReplyDone"
    assert done["message"] == {
        "id": done["messageId"],
        "content": answer,
        "state": "DONE",
        "tokenCount": done["message"]["tokenCount"],
    }
    assert done["message"]["tokenCount"] > 0

    seen = (await key.http.get(f"/api/v1/ai/conversations/{conversation['id']}/messages")).json()
    assert [(m["role"], m["content"]) for m in seen["items"]] == [("user", question), ("assistant", answer)]


async def test_the_same_over_sse(tenant: Tenant) -> None:
    user = await tenant.user()
    note = (await user.data(CREATE, input={"title": "Budget", "contentText": "The budget is 40 thousand."}))[
        "createNote"
    ]
    created = await user.http.post("/api/v1/ai/conversations", json={"document_id": note["id"]})
    assert created.status_code == 201
    path = f"/api/v1/ai/conversations/{created.json()['id']}/stream"
    async with user.sse("POST", path, json={"message": "Tell me, please."}) as stream:
        events: list[tuple[str, Any]] = [(event.id, orjson.loads(event.data)) async for event in stream]
    assert [number for number, _ in events] == ["1", "2", "3", "4"]
    assert [(e["type"], e["content"]) for _, e in events] == [
        ("delta", "All "),
        ("delta", "is "),
        ("delta", "well."),
        ("done", "All is well."),
    ]


async def test_characters_that_no_text_may_contain_are_replaced(tenant: Tenant, services: Services) -> None:
    services.llm.on("odd characters", Script(["a\x00b ", "\ud83d", " c"]))
    key = await tenant.key()
    note = (await key.data(CREATE, input={"title": "Odd"}))["createNote"]
    conversation = (await key.data(CONVERSE, note=note["id"]))["createConversation"]
    events = await key.subscribed(ASK, c=conversation["id"], m="Send odd characters", model=None)
    *deltas, done = [payload["data"]["ask"] for payload in events]
    assert "".join(event["content"] for event in deltas) == "ab ? c"
    assert done["message"]["content"] == "ab ? c"
