"""How many replies run at once, and how many tokens they may spend: exact over two servers, and told by both edges."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.conftest import Services, Tenant, make_tenant
from tests.faults.helpers import Asked, conversation, elsewhere, follow
from tests.support.clients import Caller
from tests.support.llm import Script, ScriptedModel
from tests.support.servers import RunningServer, running_server

LIMITS = {"replies_per_user": "2", "replies_per_workspace": "3", "tokens_per_minute": "30"}
SEND = """mutation($c: ID!, $input: SendMessageInput!) {
  sendMessage(conversationId: $c, input: $input) { reply { id } }
}"""
CANCEL = "mutation($id: ID!) { cancelReply(messageId: $id) { state } }"
USER = "A user may have 2 replies running at once. Try again in 5 seconds."
WORKSPACE = "A workspace may have 3 replies running at once. Try again in 5 seconds."
TOKENS = "A workspace may spend 30 tokens in 60 seconds. Try again in {} seconds."


@pytest.fixture(scope="module")
def pair(services: Services) -> Iterator[tuple[RunningServer, RunningServer]]:
    """Two servers with the same database and bus, and small limits."""
    settings = {**services.settings, **LIMITS}
    with running_server(**settings) as one, running_server(**settings) as other:
        yield one, other


@pytest.fixture
async def limited(pair: tuple[RunningServer, RunningServer], database: AsyncEngine) -> AsyncIterator[Tenant]:
    tenant = await make_tenant(pair[0], database)
    yield tenant
    for caller in tenant.callers:
        await caller.close()


@pytest.fixture
def gate(services: Services) -> Iterator[threading.Event]:
    gate = threading.Event()
    services.llm.on("hold on", Script(["Held ", "back."], gate=gate))
    yield gate
    gate.set()


async def begin(caller: Caller, message: str = "hold on", **message_input: Any) -> dict[str, Any]:
    """Asks in a conversation of its own; the whole answer, with the conversation."""
    _, talk = await conversation(caller)
    answer = await caller.graphql(SEND, c=talk, input={"message": message, "noteId": None, **message_input})
    return {**answer, "talk": talk}


def refusal(answer: dict[str, Any]) -> tuple[str, int]:
    """The text and the seconds to wait."""
    [error] = answer["errors"]
    assert (error["extensions"]["code"], error["extensions"]["status"]) == ("RATE_LIMITED", 429)
    return error["message"], error["extensions"]["retryAfter"]


def reply(answer: dict[str, Any]) -> str:
    ident: str = answer["data"]["sendMessage"]["reply"]["id"]
    return ident


async def count(tenant: Tenant, table: str) -> int:
    async with tenant.database.connect() as connection:
        query = sql(f"SELECT count(*) FROM {table} WHERE workspace_id = :w")
        return int((await connection.execute(query, {"w": tenant.id})).scalar_one())


async def test_a_user_may_have_so_many_replies_running(limited: Tenant, gate: threading.Event) -> None:
    caller = await limited.user()
    running = [await begin(caller), await begin(caller)]
    refused = await begin(caller, idempotencyKey="k")
    assert refusal(refused) == (USER, 5)
    # By SSE before any 200.
    answer = await caller.http.post(f"/api/v1/ai/conversations/{refused['talk']}/stream", json={"message": "hold on"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
    assert answer.json() == {"detail": USER, "error": USER, "code": "rate_limit_exceeded"}
    # Nothing was stored, neither the key. A repeat of what runs is no other reply.
    assert (await count(limited, "messages"), await count(limited, "idempotency_keys")) == (4, 0)
    # Another user has room, and so has this one in another workspace.
    assert reply(await begin(await limited.user()))
    # What is cancelled makes room at once.
    await caller.data(CANCEL, id=reply(running[0]))
    assert reply(await begin(caller, idempotencyKey="k"))
    assert refusal(await begin(caller)) == (USER, 5)


async def test_a_repeat_does_not_count_as_another_reply(limited: Tenant, gate: threading.Event) -> None:
    caller = await limited.user()
    _, talk = await conversation(caller)
    message_input = {"message": "hold on", "noteId": None, "idempotencyKey": "k"}
    first = reply(await caller.graphql(SEND, c=talk, input=message_input))
    reply(await begin(caller))
    assert refusal(await begin(caller)) == (USER, 5)
    assert reply(await caller.graphql(SEND, c=talk, input=message_input)) == first


async def test_a_workspace_may_have_so_many_replies_running(limited: Tenant, gate: threading.Event) -> None:
    keys = [await limited.key(), await limited.key()]
    assert [bool(reply(await begin(key))) for key in keys] == [True, True]
    # To this limit the keys are one user.
    assert refusal(await begin(keys[0])) == (USER, 5)
    assert reply(await begin(await limited.user()))
    assert refusal(await begin(await limited.user())) == (WORKSPACE, 5)


@pytest.mark.parametrize("people", [1, 20], ids=["user", "workspace"])
async def test_the_limits_are_exact_over_two_servers(
    limited: Tenant, pair: tuple[RunningServer, RunningServer], gate: threading.Event, people: int
) -> None:
    """Twenty at once over two servers: so many run as may, and not one more."""
    users = [await limited.user() for _ in range(people)]
    callers = [elsewhere(limited, users[n % people], pair[n % 2]) for n in range(20)]
    talks = [(await conversation(caller))[1] for caller in callers]
    message_input = {"message": "hold on", "noteId": None}
    sending = (caller.graphql(SEND, c=talk, input=message_input) for caller, talk in zip(callers, talks, strict=True))
    answers = await asyncio.gather(*sending)
    started = [answer for answer in answers if "errors" not in answer]
    text, room = (USER, 2) if people == 1 else (WORKSPACE, 3)
    assert len(started) == room
    assert {refusal(answer)[0] for answer in answers if "errors" in answer} == {text}
    assert await count(limited, "messages") == 2 * room
    gate.set()


async def spend(tenant: Tenant, llm: ScriptedModel, words: int, ago: float, *, reported: bool = True) -> None:
    """A reply of so many words that ended so many seconds ago. Each is one token, and the provider tells of 11 more."""
    question = f"spend {words}, told: {reported}"
    llm.on(question, Script(["word"] * words, usage=reported))
    caller = await tenant.user()
    answer = await begin(caller, question)
    await follow(Asked(caller, "", answer["talk"], reply(answer)))
    moved = sql("UPDATE messages SET updated_at = updated_at - make_interval(secs => :s) WHERE id = CAST(:id AS uuid)")
    async with tenant.database.begin() as connection:
        await connection.execute(moved, {"s": ago, "id": reply(answer)})


async def test_a_workspace_waits_for_its_tokens(
    limited: Tenant, stranger: Tenant, pair: tuple[RunningServer, RunningServer], services: Services
) -> None:
    services.llm.on("one more", Script(["Yes."]))
    await spend(limited, services.llm, 9, 50)
    await spend(limited, services.llm, 9, 20)
    caller = elsewhere(limited, await limited.user(), pair[1])
    # 40 of 30: the older ones must leave, until it is fewer.
    text, seconds = refusal(await begin(caller, "one more"))
    assert (text, 1 <= seconds <= 10) == (TOKENS.format(seconds), True)
    assert reply(await begin(elsewhere(stranger, await stranger.user(), pair[1]), "one more"))
    await pass_seconds(limited, 10)
    await spend(limited, services.llm, 9, 0)
    # Of 20 and 20 the older one ended half a minute ago: it leaves before the younger one.
    assert 1 <= refusal(await begin(caller, "one more"))[1] <= 30
    await pass_seconds(limited, 31)
    assert reply(await begin(caller, "one more"))


async def test_tokens_that_no_provider_reported_are_estimated(limited: Tenant, services: Services) -> None:
    await spend(limited, services.llm, 29, 0, reported=False)
    caller = await limited.user()
    await spend(limited, services.llm, 1, 0, reported=False)
    assert 1 <= refusal(await begin(caller))[1] <= 60


async def pass_seconds(tenant: Tenant, seconds: float) -> None:
    moved = sql("UPDATE messages SET updated_at = updated_at - make_interval(secs => :s) WHERE workspace_id = :w")
    async with tenant.database.begin() as connection:
        await connection.execute(moved, {"s": float(seconds), "w": tenant.id})
