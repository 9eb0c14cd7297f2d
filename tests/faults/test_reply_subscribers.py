"""Subscribers of a reply get all of it once, wherever and however often the connection breaks."""

import asyncio
import threading

import nats
import pytest

from caret.adapters.nats_bus import STREAM
from tests.conftest import Services, Tenant
from tests.faults.helpers import Event, ask, cut, follow, listen, one_ending, text
from tests.support.llm import Script
from tests.support.servers import RunningServer

WORDS = [f"w{number} " for number in range(10)]
ANSWER = "".join(WORDS)
EVENTS = len(WORDS) + 1


async def test_a_websocket_may_drop_anywhere(tenant: Tenant, services: Services, other_server: RunningServer) -> None:
    """One slow reply. A subscriber for each position drops there and comes back, some to another server: it loses
    nothing and gets nothing twice."""
    services.llm.on("drop anywhere", Script(WORDS, delay=0.1))
    here = await ask(await tenant.user(), "drop anywhere")
    there = here.at(tenant, other_server)

    async def interrupted(position: int) -> list[Event]:
        first, then = (here, there) if position % 2 else (there, here)
        before = await cut(first, position)
        return before + await follow(then, before[-1]["cursor"] if before else None)

    async with asyncio.TaskGroup() as tasks:
        uninterrupted = tasks.create_task(follow(here))
        others = [tasks.create_task(interrupted(position)) for position in range(EVENTS)]
    expected = uninterrupted.result()
    assert text(expected) == ANSWER
    assert one_ending(expected)["message"] == {"content": ANSWER, "state": "DONE"}
    for position, other in enumerate(others):
        assert other.result() == expected, position


async def test_an_sse_stream_may_drop_anywhere(tenant: Tenant, services: Services, other_server: RunningServer) -> None:
    services.llm.on("drop the stream", Script(WORDS, delay=0.1))
    here = await ask(await tenant.user(), "drop the stream")
    there = here.at(tenant, other_server)

    async def interrupted(position: int) -> list[tuple[str, Event]]:
        first, then = (here, there) if position % 2 else (there, here)
        before = await listen(first, count=position)
        return before + await listen(then, before[-1][0] if before else "0")

    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(interrupted(position)) for position in range(EVENTS)]
    for position, other in enumerate(others):
        numbers, events = zip(*other.result(), strict=True)
        assert numbers == tuple(str(number) for number in range(1, EVENTS + 1)), position
        assert [event["content"] for event in events] == [*WORDS, ANSWER], position
        assert [event["type"] for event in events] == [*["delta"] * len(WORDS), "done"], position


async def test_a_subscriber_may_drop_after_each_event(
    tenant: Tenant, services: Services, other_server: RunningServer
) -> None:
    """One subscriber that gets one event at a time, each on a connection of its own."""
    services.llm.on("one at a time", Script(WORDS))
    here = await ask(await tenant.user(), "one at a time")
    there, received, after = here.at(tenant, other_server), list[Event](), None
    for turn in range(EVENTS):
        received += await cut((here, there)[turn % 2], 1, after)
        after = received[-1]["cursor"]
    assert received == await follow(here)
    assert text(received) == ANSWER


async def test_subscribers_may_join_late_twice_and_after_the_end(
    tenant: Tenant, services: Services, other_server: RunningServer
) -> None:
    gate = threading.Event()
    services.llm.on("join late", Script(["Once ", "upon ", "a time."], gate=gate))
    here = await ask(await tenant.user(), "join late")
    there = here.at(tenant, other_server)
    # All subscribers get the first words while the model is held back, whenever they join.
    [first] = await cut(here, 1)
    assert await cut(there, 1) == [first]
    async with asyncio.TaskGroup() as tasks:
        early = [tasks.create_task(follow(question)) for question in (here, here, there)]
        gate.set()
    expected = early[0].result()
    assert text(expected) == "Once upon a time."
    one_ending(expected)
    assert [task.result() for task in early] == [expected] * 3
    for question in (here, there):
        assert await follow(question) == expected
        assert await follow(question, expected[1]["cursor"]) == expected[2:]
        # A subscriber that got the end and comes back gets it again, under the same cursor.
        assert await follow(question, expected[-1]["cursor"]) == expected[-1:]
        assert [number for number, _ in await listen(question, "4")] == ["4"]


@pytest.mark.parametrize("status", [200, 500])
async def test_a_reply_that_the_bus_lost_is_read_from_its_row(
    tenant: Tenant, services: Services, other_server: RunningServer, status: int
) -> None:
    services.llm.on(f"forget {status}", Script(["It is ", "gone."], status=status))
    here = await ask(await tenant.user(), f"forget {status}")
    there = here.at(tenant, other_server)
    expected = await follow(here)
    stored = one_ending(expected)["message"]
    assert stored == (
        {"content": "It is gone.", "state": "DONE"} if status == 200 else {"content": "", "state": "FAILED"}
    )
    await purge(services, here.reply)

    for question in (here, there):
        again = await follow(question)
        assert one_ending(again)["message"] == stored
        assert text(again) == stored["content"]
        late = await follow(question, expected[0]["cursor"])
        assert [event["__typename"] for event in late] == [expected[-1]["__typename"]]
        *_, (_, end) = await listen(question)
        assert end["type"] == ("done" if status == 200 else "error")
        assert end["content"] == (stored["content"] or expected[-1]["reason"])


async def test_a_reply_whose_beginning_the_bus_lost_is_read_from_its_row(tenant: Tenant, services: Services) -> None:
    """The bus drops the oldest events first. The row then replaces all of them: the text comes in one piece."""
    services.llm.on("forget the start", Script(["One ", "two ", "three."]))
    here = await ask(await tenant.user(), "forget the start")
    expected = await follow(here)
    await purge(services, here.reply, keep=2)
    again = await follow(here)
    assert text(again) == "One two three."
    assert one_ending(again)["message"] == expected[-1]["message"]


async def test_the_bus_may_lose_a_reply_while_it_is_written(
    tenant: Tenant, services: Services, other_server: RunningServer
) -> None:
    gate = threading.Event()
    services.llm.on("forget midway", Script(["Before ", "after."], gate=gate))
    here = await ask(await tenant.user(), "forget midway")
    there = here.at(tenant, other_server)
    has_begun = asyncio.Event()
    early = asyncio.create_task(follow(here, hears=has_begun))
    [first] = await cut(there, 1)
    await has_begun.wait()
    await purge(services, here.reply)
    late, back = asyncio.create_task(follow(there)), asyncio.create_task(follow(there, first["cursor"]))
    await asyncio.sleep(0.3)
    gate.set()
    assert text(await early) == "Before after."
    assert [event.get("content") for event in await back][:1] == ["after."]
    for events in (await early, await back, await late):
        assert one_ending(events)["message"] == {"content": "Before after.", "state": "DONE"}


async def purge(services: Services, reply: str, keep: int | None = None) -> None:
    client = await nats.connect(services.nats_url)
    try:
        assert await client.jetstream().purge_stream(STREAM, subject=f"reply.{reply}", keep=keep)
    finally:
        await client.close()
