"""A reply loses its asker's right to it, its process, its time or its database: whoever follows hears one ending."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text as sql

from models import Role
from tests.conftest import Services, Tenant
from tests.faults.helpers import CONVERSE, CREATE, SEND, Asked, Followers, ask, cut, follow, one_ending, parts
from tests.support.clock import end_reply_lease
from tests.support.llm import Script
from tests.support.servers import RunningServer, running_server, server_process

STOPPED = "The server was stopped before the answer was complete."
LOST = "The server lost this reply before it was complete."
CANCELLED = "The reply was cancelled."
REVOKED = "You no longer have access to the document."
CANCEL = "mutation($id: ID!) { cancelReply(messageId: $id) { content state } }"
HIDE = "mutation($id: ID!) { updateNote(id: $id, input: {visibility: PRIVATE}) { id } }"


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


async def execute(tenant: Tenant, statement: str, **values: Any) -> None:
    async with tenant.database.begin() as connection:
        await connection.execute(sql(statement), values)


@pytest.fixture
def unchecked_subscribers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscriber's own check may come first, and would end its subscription without the reply's terminal event."""
    monkeypatch.setattr("resolvers.replies.permissions.CHECK_SECONDS", 600)


@pytest.mark.parametrize("way", ["hidden", "left", "unshared"])
@pytest.mark.usefixtures("unchecked_subscribers")
async def test_a_reply_ends_when_its_user_loses_access(
    tenant: Tenant, stranger: Tenant, services: Services, other_server: RunningServer, way: str
) -> None:
    """The reply ends within seconds: nothing more of what the asker may not read is told, here or elsewhere."""
    question = f"tell me all, {way}"
    services.llm.on(question, Script([f"{number} " for number in range(300)], delay=0.1))
    owner = await tenant.user(Role.ADMIN)
    note = (await owner.data(CREATE, t="Mine"))["createNote"]["id"]
    caller = await (stranger if way == "unshared" else tenant).user()
    if way == "unshared":
        share = "INSERT INTO note_shares (id, workspace_id, note_id, user_id) VALUES (gen_random_uuid(), :w, :n, :u)"
        await execute(tenant, share, w=tenant.id, n=note, u=caller.user_id)
    talk = (await caller.data(CONVERSE, note=note))["createConversation"]["id"]
    reply = (await caller.data(SEND, c=talk, m=question))["sendMessage"]["reply"]["id"]
    here = Asked(caller, note, talk, reply)
    everybody = Followers(here, here.at(tenant, other_server))
    await everybody.hear()
    if way == "hidden":
        await owner.data(HIDE, id=note)
    else:
        table = "members" if way == "left" else "note_shares"
        await execute(tenant, f"DELETE FROM {table} WHERE user_id = :u", u=caller.user_id)
    content, end = await everybody.ending()
    # What is stored is not theirs to see any more either.
    assert (end["reason"], end["message"]) == (REVOKED, {"content": "", "state": "FAILED"})
    assert len(content.split()) < 150
    [refused] = await caller.subscribed("subscription($id: ID!) { reply(messageId: $id) { cursor } }", id=reply)
    assert refused["errors"][0]["extensions"]["code"] == ("FORBIDDEN" if way == "hidden" else "NOT_FOUND")
    async with tenant.database.connect() as connection:
        query = sql("SELECT state, content, error, lease_until FROM messages WHERE id = CAST(:id AS uuid)")
        assert tuple((await connection.execute(query, {"id": reply})).one()) == ("failed", content, REVOKED, None)


async def test_a_killed_process_is_noticed_within_a_minute(
    tenant: Tenant, services: Services, other_server: RunningServer, gate: threading.Event
) -> None:
    """The lease that it leaves ends within that time. A reply that is cancelled after the death of its process ends at
    once as cancelled, and its conversation takes the next message."""
    services.llm.on("be killed", Script(["Up to ", "never said"], gate=gate))
    with server_process(**services.settings) as victim:
        caller = await tenant.user(server=victim)
        lost, cancelled = [(await ask(caller, "be killed")).at(tenant, other_server) for _ in range(2)]
        followers = [Followers(lost), Followers(cancelled)]
        for each in (lost, cancelled):
            await cut(each, 1)
            async with asyncio.timeout(30):
                while (await each.stored())["content"] != "Up to ":
                    await asyncio.sleep(0.05)
        [web] = parts(victim, "web")
        web.kill()
        async with asyncio.timeout(60):
            answer = (await cancelled.caller.data(CANCEL, id=cancelled.reply))["cancelReply"]
            assert answer == {"content": "Up to ", "state": "CANCELLED"}
            services.llm.on("go on", Script(["Fine."]))
            again = (await cancelled.caller.data(SEND, c=cancelled.conversation, m="go on"))["sendMessage"]["reply"]
            next_one = Asked(cancelled.caller, "", cancelled.conversation, again["id"])
            assert one_ending(await follow(next_one))["message"]["content"] == "Fine."
            seconds_left = await end_reply_lease(tenant.database, lost.reply)
            endings = [await each.ending() for each in followers]
    # The worker looks for lost replies every 5 seconds.
    assert 0 < seconds_left < 50
    for (content, end), reason, state in zip(endings, (LOST, CANCELLED), ("FAILED", "CANCELLED"), strict=True):
        assert (content, end["reason"], end["message"]) == ("Up to ", reason, {"content": "Up to ", "state": state})


@pytest.mark.parametrize(("grace", "done"), [("0", False), ("15", True)])
async def test_replies_get_the_grace_of_the_setting(
    tenant: Tenant, services: Services, other_server: RunningServer, *, grace: str, done: bool
) -> None:
    services.llm.on("take your time", Script(["word "] * 10, delay=0.5))
    with running_server(**services.settings, shutdown_grace=grace) as victim:
        here = await ask(await tenant.user(server=victim), "take your time")
        everybody = Followers(here.at(tenant, other_server))
        await everybody.hear()
        await asyncio.to_thread(victim.stop)
        content, end = await everybody.ending()
    assert end["message"] == {"content": content, "state": "DONE" if done else "FAILED"}
    assert (content == "word " * 10, end.get("reason")) == (done, None if done else STOPPED)
