"""A conversation gets its title after the first answer, never at the cost of it, and whatever becomes of the model."""

import asyncio
import threading
from typing import Any

import pytest
from sqlalchemy import text as sql

from resolvers.replies.titles import clean_title, fallback_title
from tests.conftest import Services, Tenant
from tests.faults.helpers import ask, follow, one_ending
from tests.support.clients import Caller
from tests.support.llm import Script
from tests.support.servers import RunningServer, running_server

TITLE = "query($c: ID!) { conversation(id: $c) { title } }"


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("Heating in the Lisbon office", "Heating in the Lisbon office"),
        ('  "Heating in Lisbon." \n', "Heating in Lisbon"),
        ("**Heating in Lisbon**", "Heating in Lisbon"),
        ("# Title: “Heating in Lisbon”", "Heating in Lisbon"),
        ("„Die Heizung in Lissabon!“", "Die Heizung in Lissabon"),
        ("«Le chauffage à Lisbonne» ?", "Le chauffage à Lisbonne"),
        ("リスボンの暖房。", "リスボンの暖房"),
        ("Heating in Lisbon\n\nThis title says what it is about.", "Heating in Lisbon"),
        ("one two three four five six, seven eight nine", "one two three four five six, seven"),
        ("one two three four five six seven, eight nine", "one two three four five six seven"),
        (f"{'x' * 40} {'y' * 39} z", f"{'x' * 40} {'y' * 39}"),
        (f"{'x' * 40} {'y' * 40} z", "x" * 40),
        ("x" * 81, "x" * 80),
        ("a\x00b \ud83d c", "ab ? c"),
        ("C++ and C#", "C++ and C"),
        ("...", None),
        ("", None),
        (" \n ", None),
    ],
)
def test_a_models_title_is_cleaned(written: str, title: str | None) -> None:
    assert clean_title(written) == title


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("What is wrong with the heating?", "What is wrong with the heating"),
        ("  two\n\n words\t", "two words"),
        (f"{'x' * 60} y", "x" * 60),
        (f"{'x' * 30} {'y' * 29} z", f"{'x' * 30} {'y' * 29}"),
        (f"{'x' * 30} {'y' * 30} z", "x" * 30),
        ("x" * 200, "x" * 60),
        ("暖" * 61, "暖" * 60),
        ("???", "???"),
        (" ", ""),
    ],
)
def test_the_fallback_title_is_the_beginning_of_the_message(message: str, title: str) -> None:
    assert fallback_title(message) == title


async def title_of(caller: Caller, talk: str) -> str:
    async with asyncio.timeout(20):
        while (title := (await caller.data(TITLE, c=talk))["conversation"]["title"]) is None:
            await asyncio.sleep(0.02)
    return str(title)


async def events(tenant: Tenant, talk: str) -> list[Any]:
    query = sql("SELECT type FROM events WHERE payload->>'conversation' = :c ORDER BY seq")
    async with tenant.database.connect() as connection:
        return list((await connection.execute(query, {"c": talk})).scalars())


async def test_a_title_does_not_delay_the_answer(tenant: Tenant, services: Services) -> None:
    """The model holds the title back until the answer was heard to its end."""
    gate = threading.Event()
    services.llm.on("slow to name", Script(["Answered."]))
    services.llm.title("slow to name", Script(['"Slow to', " name", ' this one."'], gate=gate))
    started = await ask(await tenant.user(), "slow to name")
    assert one_ending(await follow(started))["message"] == {"content": "Answered.", "state": "DONE"}
    assert (await started.caller.data(TITLE, c=started.conversation))["conversation"]["title"] is None
    gate.set()
    assert await title_of(started.caller, started.conversation) == "Slow to name this one"
    # Nobody who follows the reply hears the title being made.
    assert [event.get("content") for event in await follow(started)] == ["Answered.", None]
    assert await events(tenant, started.conversation) == [
        "conversation.created",
        "message.created",
        "reply.started",
        "reply.finished",
        "conversation.updated",
    ]


@pytest.mark.parametrize(
    "failure",
    [Script(status=400), Script(["A "], error_after=0), Script(["?!"]), Script([""])],
    ids=["refused", "broken", "only punctuation", "empty"],
)
async def test_the_message_is_the_title_if_no_model_writes_one(
    tenant: Tenant, services: Services, failure: Script
) -> None:
    question = "nobody can name what begins with so many long words that it is cut off"
    services.llm.title(question, failure)
    started = await ask(await tenant.user(), question)
    assert one_ending(await follow(started))["message"]["state"] == "DONE"
    title = await title_of(started.caller, started.conversation)
    assert title == "nobody can name what begins with so many long words that it"


async def test_a_server_that_stops_stores_the_fallback_title(
    tenant: Tenant, services: Services, other_server: RunningServer
) -> None:
    services.llm.on("stop before it has a name", Script(["Done."]))
    services.llm.title("stop before it has a name", Script(["Never ", "made"], stall_after=1))
    with running_server(**services.settings) as victim:
        started = await ask(await tenant.user(server=victim), "Please stop before it has a name!")
        there = started.at(tenant, other_server)
        assert one_ending(await follow(there))["message"]["state"] == "DONE"
        await asyncio.to_thread(victim.stop)
    title = (await there.caller.data(TITLE, c=started.conversation))["conversation"]["title"]
    assert title == "Please stop before it has a name"
