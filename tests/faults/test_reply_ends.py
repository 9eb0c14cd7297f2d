"""However a reply ends, its followers hear one ending, and what was said is stored."""

import asyncio
import signal
import threading

import pytest

from tests.conftest import Services, Tenant
from tests.faults.helpers import SEND, Asked, ask, conversation, cut, elsewhere, follow, one_ending, parts, text, until
from tests.support.clock import end_reply_lease
from tests.support.llm import Script
from tests.support.servers import RunningServer, server_process

FAILED = "The model could not answer. Please try again."
UNREACHABLE = "The model could not be reached. Please try again."
STOPPED = "The server was stopped before the answer was complete."
LOST = "The server lost this reply before it was complete."
DELETED = "The conversation was deleted."
NOW = "query($c: ID!) { conversation(id: $c) { activeReply { id } messages(last: 1) { nodes { content state } } } }"


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


async def test_a_failing_model_ends_the_reply_for_every_subscriber(
    tenant: Tenant, services: Services, other_server: RunningServer
) -> None:
    services.llm.on("fail at once", Script(status=500))
    services.llm.on("break midway", Script(["A part ", "of it ", "never said"], break_after=2))
    caller = await tenant.user()
    for question, content, why in (("fail at once", "", FAILED), ("break midway", "A part of it ", UNREACHABLE)):
        here = await ask(caller, question)
        events, there = await asyncio.gather(follow(here), follow(here.at(tenant, other_server)))
        assert events == there
        assert text(events) == content
        end = one_ending(events)
        assert (end["reason"], end["message"]) == (why, {"content": content, "state": "FAILED"})
        assert (await here.stored())["content"] == content
        # The conversation goes on.
        services.llm.on("and now", Script(["Fine."]))
        again = (await caller.data(SEND, c=here.conversation, m="and now"))["sendMessage"]["reply"]["id"]
        assert (
            one_ending(await follow(Asked(caller, here.note, here.conversation, again)))["message"]["state"] == "DONE"
        )


@pytest.mark.parametrize(
    "delete",
    ["mutation($id: ID!) { deleteConversation(id: $id) }", "mutation($id: ID!) { deleteNote(id: $id) }"],
    ids=["conversation", "note"],
)
async def test_deleting_the_conversation_or_note_ends_its_reply(
    tenant: Tenant, services: Services, other_server: RunningServer, gate: threading.Event, delete: str
) -> None:
    services.llm.on("delete me", Script(["Started, ", "ended."], gate=gate))
    here = await ask(await tenant.user(), "delete me")
    places, hearing = (here, here.at(tenant, other_server)), (asyncio.Event(), asyncio.Event())
    followers = [
        asyncio.create_task(follow(started, hears=first)) for started, first in zip(places, hearing, strict=True)
    ]
    for first in hearing:
        await first.wait()
    await here.caller.data(delete, id=here.note if "Note" in delete else here.conversation)
    # The model still holds its answer back: nobody waits for it.
    for events in await asyncio.gather(*followers):
        end = one_ending(events)
        assert (end["reason"], end["message"]) == (DELETED, {"content": "", "state": "FAILED"})
    gate.set()
    [refused] = await here.caller.subscribed(
        "subscription($id: ID!) { reply(messageId: $id) { cursor } }", id=here.reply
    )
    assert refused["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_a_reply_goes_on_when_its_client_disconnects(
    tenant: Tenant, services: Services, gate: threading.Event
) -> None:
    """By SSE and by a WebSocket: the connection ends, the reply does not."""
    services.llm.on("leave me", Script(["Still ", "here."], gate=gate))
    caller = await tenant.user()
    conversations = []
    _, talk = await conversation(caller)
    async with caller.sse("POST", f"/api/v1/ai/conversations/{talk}/stream", json={"message": "leave me"}) as events:
        await anext(aiter(events))
    conversations.append(talk)
    _, talk = await conversation(caller)
    ask_it = 'subscription($c: ID!) { ask(conversationId: $c, input: {message: "leave me"}) { cursor } }'
    async with caller.socket() as socket:
        await socket.next(await socket.start(ask_it, c=talk))
        socket.connection.transport.abort()
    conversations.append(talk)
    gate.set()
    for talk in conversations:
        async with asyncio.timeout(20):
            while (await caller.data(NOW, c=talk))["conversation"]["activeReply"]:
                await asyncio.sleep(0.02)
        # Read again: the fields of one operation may be read before and after the end.
        current = (await caller.data(NOW, c=talk))["conversation"]
        assert current["messages"]["nodes"] == [{"content": "Still here.", "state": "DONE"}]


async def test_a_second_message_is_refused_while_a_reply_runs(
    tenant: Tenant, services: Services, other_server: RunningServer, gate: threading.Event
) -> None:
    services.llm.on("first of all", Script(["Wait", "."], gate=gate))
    here = await ask(await tenant.user(), "first of all")
    for caller in (here.caller, elsewhere(tenant, here.caller, other_server)):
        assert await caller.code(SEND, c=here.conversation, m="a second message meanwhile") == "ALREADY_REPLYING"
        path = f"/api/v1/ai/conversations/{here.conversation}/stream"
        refused = await caller.http.post(path, json={"message": "a second message meanwhile"})
        assert refused.status_code == 409
    gate.set()
    assert text(await follow(here)) == "Wait."
    assert not services.llm.requests_with("a second message meanwhile")
    sent = await here.caller.data(SEND, c=here.conversation, m="third")
    assert sent["sendMessage"]["reply"]["state"] == "STREAMING"


async def test_a_worker_ends_the_replies_of_a_killed_web_process(
    tenant: Tenant, services: Services, other_server: RunningServer, gate: threading.Event
) -> None:
    services.llm.on("kill the web", Script(["Up to ", "never said"], gate=gate))
    with server_process(**services.settings) as victim:
        here = await ask(await tenant.user(server=victim), "kill the web")
        there = here.at(tenant, other_server)
        follower = asyncio.create_task(follow(there))
        await cut(there, 1)
        # The partial text is saved every second or so.
        async with asyncio.timeout(30):
            while (await there.stored())["content"] != "Up to ":
                await asyncio.sleep(0.05)
        [web] = parts(victim, "web")
        web.kill()
        await until(lambda: [child.pid for child in parts(victim, "web")] not in ([], [web.pid]))
        assert await there.caller.code(SEND, c=here.conversation, m="too early") == "ALREADY_REPLYING"
        await end_reply_lease(tenant.database, here.reply)
        events = await follower
        end = one_ending(events)
        assert (end["reason"], end["message"]) == (LOST, {"content": "Up to ", "state": "FAILED"})
        # The new process serves, and says the same.
        async with asyncio.timeout(30):
            while not await answers(here):
                await asyncio.sleep(0.05)
        assert await follow(here) == events
        gate.set()


async def test_a_server_that_stops_ends_its_replies(
    tenant: Tenant, services: Services, other_server: RunningServer, gate: threading.Event
) -> None:
    services.llm.on("stop the server", Script(["So far ", "never said"], gate=gate))
    services.llm.on("nearly done", Script(["One ", "two ", "three"], delay=0.4))
    with server_process(**services.settings) as victim:
        caller = await tenant.user(server=victim)
        held, short = await ask(caller, "stop the server"), await ask(caller, "nearly done")
        there = held.at(tenant, other_server)
        followers = [asyncio.create_task(follow(started.at(tenant, other_server))) for started in (held, short)]
        await asyncio.gather(cut(held, 1), cut(short, 1))
        assert await asyncio.to_thread(victim.stop, signal.SIGTERM) == 0
        end, finished = [one_ending(events) for events in await asyncio.gather(*followers)]
    assert (end["reason"], end["message"]) == (STOPPED, {"content": "So far ", "state": "FAILED"})
    # What ends within the grace is complete.
    assert finished["message"] == {"content": "One two three", "state": "DONE"}
    assert (await there.stored())["state"] == "FAILED"
    gate.set()


async def answers(started: Asked) -> bool:
    try:
        return (await started.caller.http.get("/health/ready")).status_code == 200
    except OSError:
        return False
