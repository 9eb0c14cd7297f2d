"""Events in order and once, whatever their way; and how long replies rest when a process can't keep up."""

import asyncio
from uuid import UUID

from resolvers.replies.backpressure import LEAST, MOST, Pressure, eased
from resolvers.replies.buffer import ReplyLog
from resolvers.replies.events import ReplyEvent
from resolvers.replies.subscribe import InOrder

ID = UUID("0198aaaa-0000-7000-8000-000000000001")
ONE, TWO, THREE = (ReplyEvent(number, "delta", ID, content=str(number)) for number in (1, 2, 3))
END = ReplyEvent(4, "done", ID, content="123")


async def followed(log: ReplyLog, after: int) -> list[ReplyEvent]:
    return [event async for event in log.follow(after)]


async def test_a_log_is_told_to_each_follower_from_where_it_is() -> None:
    log = ReplyLog()
    log.add(ONE)
    async with asyncio.timeout(30), asyncio.TaskGroup() as followers:
        tasks = [followers.create_task(followed(log, after)) for after in (0, 0, 1, 3)]
        for event in (TWO, THREE, END):
            await asyncio.sleep(0)
            log.add(event)
    assert [task.result() for task in tasks] == [
        [ONE, TWO, THREE, END],
        [ONE, TWO, THREE, END],
        [TWO, THREE, END],
        [END],
    ]
    assert await followed(log, 2) == [THREE, END]


async def test_a_log_that_ends_without_an_end_leaves_the_rest_to_the_row() -> None:
    log = ReplyLog()
    log.add(ONE)
    async with asyncio.timeout(30), asyncio.TaskGroup() as followers:
        waiting = followers.create_task(followed(log, 0))
        await asyncio.sleep(0)
        log.end()
    assert waiting.result() == [ONE]
    # Whoever knows more than the log has, too.
    assert await followed(log, 7) == []


def test_what_comes_too_early_waits_for_what_is_missing() -> None:
    heard = InOrder(0)
    assert (heard.take(TWO), heard.waits) == ([], True)
    assert (heard.take(TWO), heard.take(END)) == ([], [])
    assert (heard.take(ONE), heard.seen) == ([ONE, TWO], 2)
    assert (heard.take(ONE), heard.take(THREE)) == ([], [THREE, END])
    assert not heard.waits


def test_what_never_comes_is_given_up() -> None:
    heard = InOrder(0)
    assert heard.skip() == []
    heard.take(THREE)
    assert (heard.skip(), heard.seen) == ([THREE], 3)


def test_the_end_is_told_to_who_has_heard_it() -> None:
    assert InOrder(4).take(END) == [END]
    assert InOrder(9).take(END) == [END]
    assert InOrder(4).take(THREE) == []


def test_replies_rest_longer_the_longer_a_process_is_late() -> None:
    assert eased(0.0, 0.001) == 0.0
    assert eased(0.0, 0.5) == LEAST
    rest = 0.0
    for _ in range(20):
        rest = eased(rest, 0.1)
    assert rest == MOST
    # In between it stays as it is; then it goes back to none.
    assert eased(rest, 0.015) == rest
    for _ in range(40):
        rest = eased(rest, 0.001)
    assert rest == 0.0


async def test_a_process_that_is_late_is_seen_to_be() -> None:
    pressure = Pressure()
    watching = asyncio.create_task(pressure.watch())
    async with asyncio.timeout(10):
        while pressure.rest == 0.0:
            await asyncio.sleep(0)
            deadline = asyncio.get_running_loop().time() + 0.1
            while asyncio.get_running_loop().time() < deadline:
                pass
        while pressure.rest:
            await asyncio.sleep(0.01)
    watching.cancel()
