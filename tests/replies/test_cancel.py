"""A reply is cancelled by either edge and from any process: it stops, keeps its text, and ends once for everybody."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from models.base import new_id
from tests.conftest import Services, Tenant
from tests.faults.helpers import SEND, Asked, ask, elsewhere, follow, listen, one_ending, taken, text
from tests.support.clients import Caller
from tests.support.llm import Script
from tests.support.servers import RunningServer
from tests.support.sizes import size

CANCELLED = "The reply was cancelled."
CANCEL = """mutation($id: ID!) {
  cancelReply(messageId: $id) { id role content state tokenCount toolCalls { id } createdAt updatedAt }
}"""
SHORT = "mutation($id: ID!) { cancelReply(messageId: $id) { content state } }"
STORED = """query($c: ID!) { conversation(id: $c) { activeReply { id } messages(last: 1) { nodes {
  id role content state tokenCount toolCalls { id } createdAt updatedAt
} } } }"""

RACES = size(10, 30)
Cancel = Callable[[Caller, Asked], Awaitable[Any]]


async def by_graphql(caller: Caller, started: Asked) -> Any:
    return (await caller.data(CANCEL, id=started.reply))["cancelReply"]


async def by_rest(caller: Caller, started: Asked) -> Any:
    answer = await caller.http.post(f"/api/v1/ai/conversations/{started.conversation}/cancel")
    assert (answer.status_code, answer.content) == (204, b"")


async def finishes(database: AsyncEngine, *replies: str) -> list[int]:
    """How often the log says of each reply that it has finished."""
    query = sql("SELECT count(*) FROM events WHERE type = 'reply.finished' AND payload->>'message' = :id")
    async with database.connect() as connection:
        return [(await connection.execute(query, {"id": reply})).scalar_one() for reply in replies]


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


@pytest.mark.parametrize("cancel", [by_graphql, by_rest])
@pytest.mark.parametrize("far", [False, True], ids=["here", "elsewhere"])
async def test_every_subscriber_gets_one_terminal_event(
    tenant: Tenant, services: Services, other_server: RunningServer, gate: threading.Event, *, cancel: Cancel, far: bool
) -> None:
    question = f"cancel me, {cancel.__name__} {far}"
    services.llm.on(question, Script(["So ", "never said"], gate=gate))
    here = await ask(await tenant.user(), question)
    there = here.at(tenant, other_server)
    hearing = [asyncio.Event(), asyncio.Event()]
    followers = [asyncio.create_task(follow(at, hears=first)) for at, first in zip((here, there), hearing, strict=True)]
    readers = [asyncio.create_task(listen(at)) for at in (here, there)]
    await asyncio.gather(*(first.wait() for first in hearing))

    response = await cancel(there.caller if far else here.caller, here)
    # No waiting for anything: the row is complete, and the conversation is free.
    stored_conversation = (await here.caller.data(STORED, c=here.conversation))["conversation"]
    [stored] = stored_conversation["messages"]["nodes"]
    assert stored_conversation["activeReply"] is None
    assert response in (None, stored)
    assert stored == {
        "id": here.reply,
        "role": "ASSISTANT",
        "content": "So ",
        "state": "CANCELLED",
        "tokenCount": 1,
        "toolCalls": [],
        "createdAt": stored["createdAt"],
        "updatedAt": stored["updatedAt"],
    }
    services.llm.on("and now", Script(["Fine."]))
    again = (await here.caller.data(SEND, c=here.conversation, m="and now"))["sendMessage"]["reply"]["id"]

    for events in await asyncio.gather(*followers):
        end = one_ending(events)
        assert (text(events), end["reason"]) == ("So ", CANCELLED)
        assert end["message"] == {"content": "So ", "state": "CANCELLED"}
    nothing = {"document_change": None, "tool_name": None, "tool_call": None}
    for received in await asyncio.gather(*readers):
        assert received == [
            ("1", {"type": "delta", "content": "So ", "message_id": None, **nothing}),
            ("2", {"type": "error", "content": CANCELLED, "message_id": here.reply, **nothing}),
        ]
    # Who comes later hears the same.
    assert one_ending(await follow(there))["reason"] == CANCELLED
    end = one_ending(await follow(Asked(here.caller, here.note, here.conversation, again)))
    assert end["message"] == {"content": "Fine.", "state": "DONE"}
    assert await finishes(tenant.database, here.reply, again) == [1, 1]
    gate.set()


async def test_a_reply_without_text_can_be_cancelled(tenant: Tenant, services: Services) -> None:
    services.llm.on("never begins", Script(stall_after=0))
    started = await ask(await tenant.user(), "never begins")
    follower = asyncio.create_task(follow(started))
    assert (await started.caller.data(SHORT, id=started.reply))["cancelReply"] == {"content": "", "state": "CANCELLED"}
    [end] = await follower
    assert (end["reason"], end["message"]) == (CANCELLED, {"content": "", "state": "CANCELLED"})


async def test_cancelling_an_ended_reply_changes_nothing(tenant: Tenant, services: Services) -> None:
    services.llm.on("already done", Script(["Done."]))
    services.llm.on("already failed", Script(status=400))
    caller = await tenant.user()
    for question in ("already done", "already failed"):
        started = await ask(caller, question)
        await follow(started)
        before = (await caller.data(STORED, c=started.conversation))["conversation"]
        assert await by_graphql(caller, started) == before["messages"]["nodes"][0]
        await by_rest(caller, started)
        assert (await caller.data(STORED, c=started.conversation))["conversation"]["messages"] == before["messages"]
        assert await finishes(tenant.database, started.reply) == [1]


async def test_only_the_callers_own_replies_can_be_cancelled(
    tenant: Tenant, stranger: Tenant, services: Services
) -> None:
    gate = threading.Event()
    services.llm.on("not yours", Script(["Mine", "."], gate=gate))
    caller = await tenant.user()
    started = await ask(caller, "not yours")
    own_messages = await caller.data(
        "query($c: ID!) { conversation(id: $c) { messages { nodes { id } } } }", c=started.conversation
    )
    question = own_messages["conversation"]["messages"]["nodes"][0]["id"]
    for other, ident in (
        (caller, question),
        (caller, started.conversation),
        (caller, str(new_id())),
        (caller, "no id"),
        (await tenant.user(), started.reply),
        (await stranger.key(), started.reply),
    ):
        assert await other.code(CANCEL, id=ident) == "NOT_FOUND"
    for other, ident in ((await tenant.user(), started.conversation), (caller, str(new_id()))):
        answer = await other.http.post(f"/api/v1/ai/conversations/{ident}/cancel")
        message = f"Conversation {ident} not found."
        assert (answer.status_code, answer.json()) == (
            404,
            {"detail": message, "error": message, "code": "resource_not_found"},
        )
    gate.set()
    assert text(await follow(started)) == "Mine."


async def test_a_key_needs_the_scope_to_write(tenant: Tenant, services: Services) -> None:
    services.llm.on("only read", Script(["A", "b"]))
    started = await ask(await tenant.key("notes"), "only read")
    reader = await tenant.key("notes:read")
    assert await reader.code(CANCEL, id=started.reply) == "INSUFFICIENT_SCOPE"
    answer = await reader.http.post(f"/api/v1/ai/conversations/{started.conversation}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert text(await follow(started)) == "Ab"


async def test_many_simultaneous_cancels_end_a_reply_once(
    tenant: Tenant, services: Services, other_server: RunningServer, gate: threading.Event
) -> None:
    services.llm.on("all of you", Script(["So ", "never said"], gate=gate))
    here = await ask(await tenant.user(), "all of you")
    follower = asyncio.create_task(follow(here))
    callers = [here.caller, elsewhere(tenant, here.caller, other_server)]
    answers = await asyncio.gather(*(way(callers[n % 2], here) for n in range(10) for way in (by_graphql, by_rest)))
    assert len({str(answer) for answer in answers if answer is not None}) == 1
    assert one_ending(await follower)["reason"] == CANCELLED
    assert await finishes(tenant.database, here.reply) == [1]
    gate.set()


@pytest.mark.soak
async def test_a_cancel_that_races_with_the_end_leaves_one_ending(
    tenant: Tenant, services: Services, other_server: RunningServer
) -> None:
    """Whoever wins, there is one ending, and it is what is stored."""
    services.llm.on("which is first", Script(["One ", "two ", "three"], delay=0.02))
    here = await tenant.user()
    there = elsewhere(tenant, here, other_server)
    states = []
    for number in range(RACES):
        started = await ask(here, "which is first")
        far = started.at(tenant, other_server)
        followers = [asyncio.create_task(follow(at)) for at in (started, far)]
        readers = [asyncio.create_task(listen(at)) for at in (started, far)]
        await asyncio.sleep(number * 0.15 / RACES)
        answer = (await (here, there)[number % 2].data(SHORT, id=started.reply))["cancelReply"]
        stored = await started.stored()
        assert answer == {"content": stored["content"], "state": stored["state"]}
        ending = "ReplyDone" if stored["state"] == "DONE" else "ReplyFailed"
        for events in await asyncio.gather(*followers):
            end = one_ending(events)
            assert (end["__typename"], end["message"]) == (ending, answer)
            assert text(events) == stored["content"]
        for received in await asyncio.gather(*readers):
            assert [event["type"] in {"done", "error"} for _, event in received] == [
                *[False] * (len(received) - 1),
                True,
            ]
            assert received[-1][1]["type"] == ("done" if stored["state"] == "DONE" else "error")
        assert await finishes(tenant.database, started.reply) == [1]
        states.append(stored["state"])
    assert "CANCELLED" in states


async def test_a_cancel_that_the_bus_loses_is_noticed_in_the_row(tenant: Tenant, services: Services) -> None:
    """The message of the bus is lost, so only the row says it: the next look at the row stops the reply."""
    services.llm.on("nobody told me", Script([f"{number} " for number in range(200)], delay=0.1))
    started = await ask(await tenant.user(), "nobody told me")
    first_event = asyncio.Event()
    follower = asyncio.create_task(follow(started, hears=first_event))
    await first_event.wait()
    quietly = sql("UPDATE messages SET state = 'cancelled', error = :said WHERE id = :id")
    async with tenant.database.begin() as connection:
        await connection.execute(quietly, {"said": CANCELLED, "id": UUID(started.reply)})
    events = await follower
    end = one_ending(events)
    assert (end["reason"], end["message"]) == (CANCELLED, {"content": text(events), "state": "CANCELLED"})
    assert 0 < len(events) < 100


async def test_a_cancelled_reply_requests_nothing_more(tenant: Tenant, services: Services) -> None:
    """A cancelled reply asks for nothing more: its socket can be used for the next operation at once."""
    services.llm.on("let it be", Script([f"{number} " for number in range(500)], delay=0.05))
    started = await ask(await tenant.user(), "let it be")
    async with started.caller.socket() as socket:
        name = await socket.start("subscription($id: ID!) { reply(messageId: $id) { __typename } }", id=started.reply)
        await taken(socket, name, 1)
        async with asyncio.timeout(30):
            await started.caller.data(SHORT, id=started.reply)
            kinds = []
            while (message := await socket.next(name))["type"] == "next":
                kinds.append(message["payload"]["data"]["reply"]["__typename"])
    assert (message["type"], kinds[-1], kinds.count("ReplyFailed")) == ("complete", "ReplyFailed", 1)


async def test_openapi_describes_cancel_and_stream(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        response = (await http.get("/openapi.json")).json()["paths"]
    cancel = response["/api/v1/ai/conversations/{id}/cancel"]["post"]
    assert set(cancel["responses"]) == {"204", "401", "403", "404", "413", "422", "429", "500"}
    stream = response["/api/v1/ai/conversations/{id}/stream"]["post"]
    assert "429" in stream["responses"]
    assert {"$ref": "#/components/parameters/IdempotencyKey"} in stream["parameters"]
