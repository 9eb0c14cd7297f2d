"""What a reply took is stored with it, however it ends, with the model that answered."""

import asyncio
import threading
from typing import Any
from uuid import UUID

from sqlalchemy import text as sql

from tests.conftest import Services, Tenant
from tests.faults.helpers import Asked, ask, conversation, follow, one_ending
from tests.support.llm import MODEL, Call, Script

CANCEL = "mutation($id: ID!) { cancelReply(messageId: $id) { tokenCount model { id } } }"
SEND = """mutation($c: ID!, $input: SendMessageInput!) {
  sendMessage(conversationId: $c, input: $input) { userMessage { id tokenCount } reply { id } }
}"""


async def took(tenant: Tenant, message: str) -> tuple[Any, ...]:
    query = sql("SELECT state, model_id, usage, token_count FROM messages WHERE id = :id")
    async with tenant.database.connect() as connection:
        return tuple((await connection.execute(query, {"id": UUID(message)})).one())


def used(input_tokens: int, written: int, requests: int) -> dict[str, int]:
    return {"input_tokens": input_tokens, "output_tokens": written, "requests": requests}


async def test_the_reported_usage_is_stored(tenant: Tenant, services: Services) -> None:
    services.llm.on("tell what it took", Script(["One ", "two ", "three ", "four"]))
    started = await ask(await tenant.user(), "tell what it took")
    one_ending(await follow(started))
    assert await took(tenant, started.reply) == ("done", MODEL, used(11, 4, 1), 4)


async def test_the_usage_of_all_steps_is_added_up(tenant: Tenant, services: Services) -> None:
    steps = Script(["Let me see. "], calls=[Call("1", "get_document_content")]), Script(["It ", "is ", "empty."])
    services.llm.on("in two steps", *steps)
    caller = await tenant.user()
    _, talk = await conversation(caller)
    message_input = {"message": "in two steps", "noteId": None, "agentType": "GENERAL"}
    sent = (await caller.data(SEND, c=talk, input=message_input))["sendMessage"]
    one_ending(await follow(Asked(caller, "", talk, sent["reply"]["id"])))
    assert await took(tenant, sent["reply"]["id"]) == ("done", MODEL, used(22, 4, 2), 4)


async def test_tokens_are_estimated_if_no_usage_is_reported(tenant: Tenant, services: Services) -> None:
    """A quarter of the bytes, rounded up; a user's message always."""
    services.llm.on("tell nothing", Script(["12345678", "9"], usage=False))
    caller = await tenant.user()
    _, talk = await conversation(caller)
    message_input = {"message": "tell nothing", "noteId": None}
    sent = (await caller.data(SEND, c=talk, input=message_input))["sendMessage"]
    assert sent["userMessage"]["tokenCount"] == 3
    one_ending(await follow(Asked(caller, "", talk, sent["reply"]["id"])))
    assert await took(tenant, sent["reply"]["id"]) == ("done", MODEL, None, 3)
    assert await took(tenant, sent["userMessage"]["id"]) == ("done", None, None, 3)


async def test_an_interrupted_reply_has_the_usage_of_its_complete_steps(tenant: Tenant, services: Services) -> None:
    """Of a failure in its second step the first is known, of a first step nothing."""
    first = Script(["Let me see. "], calls=[Call("1", "get_document_content")])
    services.llm.on("fail in the second", first, Script(["12345678", "never"], error_after=1))
    services.llm.on("fail in the first", Script(["12345678", "never"], error_after=1))
    caller = await tenant.user()
    stored = []
    for question in ("fail in the second", "fail in the first"):
        _, talk = await conversation(caller)
        message_input = {"message": question, "noteId": None, "agentType": "GENERAL"}
        reply = (await caller.data(SEND, c=talk, input=message_input))["sendMessage"]["reply"]["id"]
        one_ending(await follow(Asked(caller, "", talk, reply)))
        stored.append(await took(tenant, reply))
    assert stored == [("failed", MODEL, used(11, 1, 1), 5), ("failed", MODEL, None, 2)]


async def test_a_cancelled_reply_has_estimated_tokens(tenant: Tenant, services: Services) -> None:
    gate = threading.Event()
    services.llm.on("never mind", Script(["12345678", "never"], gate=gate))
    started = await ask(await tenant.user(), "never mind")
    first_event = asyncio.Event()
    follower = asyncio.create_task(follow(started, hears=first_event))
    await first_event.wait()
    input_tokens = (await started.caller.data(CANCEL, id=started.reply))["cancelReply"]
    assert input_tokens == {"tokenCount": 2, "model": {"id": MODEL}}
    await follower
    gate.set()
    assert await took(tenant, started.reply) == ("cancelled", MODEL, None, 2)
