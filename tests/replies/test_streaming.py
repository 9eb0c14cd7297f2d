"""The buffer of a reply, the order of its events, and the throttling of replies while the event loop lags."""

import asyncio
from uuid import UUID

from resolvers.replies.buffer import ReplyBuffer
from resolvers.replies.events import ReplyEvent
from resolvers.replies.ordering import EventOrder
from resolvers.replies.throttle import MAX_PAUSE_SECONDS, MIN_PAUSE_SECONDS, Throttle, next_pause

ID = UUID("0198aaaa-0000-7000-8000-000000000001")
ONE, TWO, THREE = (ReplyEvent(number, "delta", ID, content=str(number)) for number in (1, 2, 3))
END = ReplyEvent(4, "done", ID, content="123")


async def received(buffer: ReplyBuffer, after: int) -> list[ReplyEvent]:
    return [event async for event in buffer.subscribe(after)]


async def test_each_subscriber_reads_the_buffer_from_its_own_position() -> None:
    buffer = ReplyBuffer()
    buffer.append(ONE)
    async with asyncio.timeout(30), asyncio.TaskGroup() as subscribers:
        tasks = [subscribers.create_task(received(buffer, after)) for after in (0, 0, 1, 3)]
        for event in (TWO, THREE, END):
            await asyncio.sleep(0)
            buffer.append(event)
    assert [task.result() for task in tasks] == [
        [ONE, TWO, THREE, END],
        [ONE, TWO, THREE, END],
        [TWO, THREE, END],
        [END],
    ]
    assert await received(buffer, 2) == [THREE, END]


async def test_a_buffer_that_is_closed_without_a_terminal_event_ends_its_subscriptions() -> None:
    buffer = ReplyBuffer()
    buffer.append(ONE)
    async with asyncio.timeout(30), asyncio.TaskGroup() as subscribers:
        waiting = subscribers.create_task(received(buffer, 0))
        await asyncio.sleep(0)
        buffer.close()
    assert waiting.result() == [ONE]
    # Also one that has seen more than the buffer has.
    assert await received(buffer, 7) == []


def test_an_early_event_waits_for_the_missing_one() -> None:
    order = EventOrder(0)
    assert (order.add(TWO), order.has_gap) == ([], True)
    assert (order.add(TWO), order.add(END)) == ([], [])
    assert (order.add(ONE), order.seen) == ([ONE, TWO], 2)
    assert (order.add(ONE), order.add(THREE)) == ([], [THREE, END])
    assert not order.has_gap


def test_a_missing_event_can_be_skipped() -> None:
    order = EventOrder(0)
    assert order.skip_gap() == []
    order.add(THREE)
    assert (order.skip_gap(), order.seen) == ([THREE], 3)


def test_a_terminal_event_is_returned_again_to_a_subscriber_that_has_seen_it() -> None:
    assert EventOrder(4).add(END) == [END]
    assert EventOrder(9).add(END) == [END]
    assert EventOrder(4).add(THREE) == []


def test_the_pause_grows_with_the_lag_and_shrinks_without() -> None:
    assert next_pause(0.0, 0.001) == 0.0
    assert next_pause(0.0, 0.5) == MIN_PAUSE_SECONDS
    pause = 0.0
    for _ in range(20):
        pause = next_pause(pause, 0.1)
    assert pause == MAX_PAUSE_SECONDS
    # A lag in between changes nothing.
    assert next_pause(pause, 0.015) == pause
    for _ in range(40):
        pause = next_pause(pause, 0.001)
    assert pause == 0.0


async def test_the_throttle_notices_a_blocked_event_loop() -> None:
    throttle = Throttle()
    watching = asyncio.create_task(throttle.watch())
    async with asyncio.timeout(30):
        while throttle.pause_seconds == 0.0:
            await asyncio.sleep(0)
            deadline = asyncio.get_running_loop().time() + 0.1
            while asyncio.get_running_loop().time() < deadline:
                pass
        while throttle.pause_seconds:
            await asyncio.sleep(0.01)
    watching.cancel()
