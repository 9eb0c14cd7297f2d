"""What one connection, and one process, holds in memory for clients that do not read."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from graphql import ExecutionResult, OperationDefinitionNode, parse

from models.base import new_id
from schema.execution import shared_results
from schema.execution.request import MAX_EVENTS_IN_FLIGHT, Request
from schema.execution.shared_results import (
    MAX_SHARED_BYTES,
    MAX_SHARED_RESULTS,
    LogSubscription,
    NotShared,
    SharedResults,
)
from schema.transports.run import SubscriptionStream
from schema.transports.sse_single_connection import StreamOperation, StreamReservation


class Endless:
    """A log that always has another event; counts those that were rendered."""

    def __init__(self) -> None:
        self.rendered = 0
        self.events = self._events()

    async def _events(self) -> AsyncGenerator[Any, None]:
        seq = 0
        while True:
            seq += 1
            yield SimpleNamespace(workspace_id=UUID(int=1), seq=seq)

    async def render(self, _event: Any) -> bytes:
        self.rendered += 1
        return b"{}"


async def nothing() -> AsyncGenerator[Any, None]:
    return
    yield


async def test_an_event_is_rendered_when_it_is_its_turn() -> None:
    """The client reads nothing: of all its operations only a few hold an event, until they ask for the next."""
    log, request = Endless(), Request(cast(Any, None))
    async with AsyncExitStack() as stack:
        streams = []
        for _ in range(3 * MAX_EVENTS_IN_FLIGHT):
            own = request.for_operation()
            own.log_subscription = cast(Any, log)
            first: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            streams.append(await stack.enter_async_context(aclosing(SubscriptionStream(first, nothing(), own))))
        reading = [asyncio.create_task(anext(stream)) for stream in streams]
        await settled()
        assert (log.rendered, sum(task.done() for task in reading)) == (MAX_EVENTS_IN_FLIGHT, MAX_EVENTS_IN_FLIGHT)
        # The first is sent, and another that is closed leaves its turn as well.
        more = asyncio.create_task(anext(streams[0]))
        await streams[1].aclose()
        await settled()
        assert log.rendered == MAX_EVENTS_IN_FLIGHT + 2
        for task in (more, *reading):
            task.cancel()
        await asyncio.wait({more, *reading})


def operation() -> OperationDefinitionNode:
    [node] = parse("{a}").definitions
    assert isinstance(node, OperationDefinitionNode)
    return node


async def test_shared_results_are_bounded_in_number_size_and_time() -> None:
    shared = SharedResults(seconds=600)
    for number in range(MAX_SHARED_RESULTS + 1):
        shared.finish(number, shared.begin(number, operation()), b"x" * MAX_SHARED_BYTES)
    assert (shared.get(0), len(shared)) == (None, MAX_SHARED_RESULTS)
    for outcome in (NotShared.FAILED, NotShared.ABANDONED, b"x" * (MAX_SHARED_BYTES + 1)):
        pending = shared.begin("large", operation())
        known = shared.get("large")
        assert known is not None
        shared.finish("large", pending, outcome)
        # Those who waited for it have it; those who come later do not.
        assert (known.outcome.result(), shared.get("large")) == (outcome, None)
    shared = SharedResults(seconds=0.05)
    shared.finish("short", shared.begin("short", operation()), b"{}")
    async with asyncio.timeout(30):
        # Dropped without being asked for: nothing of it is left in the memory.
        while shared._results.currsize:
            await asyncio.sleep(0.01)


class Renderer:
    """What executes the operation of several subscribers: it waits to be released, and counts the executions."""

    sharing_key = "the same for all"

    def __init__(self) -> None:
        self.operation = operation()
        self.released = asyncio.Event()
        self.executions = 0

    async def execute_event(self, _event: Any) -> ExecutionResult:
        self.executions += 1
        number = self.executions
        await self.released.wait()
        return ExecutionResult({"execution": number}, None)

    def subscriber(self, event: Any) -> "asyncio.Task[bytes]":
        subscription = LogSubscription(Request(cast(Any, None)), nothing())
        subscription.executor = cast(Any, self)
        return asyncio.create_task(subscription.render(event))


async def test_when_the_first_renderer_is_cancelled_one_of_the_others_takes_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_results, "shared_results", SharedResults(seconds=600))
    renderer, event = Renderer(), SimpleNamespace(id=new_id())
    subscribers = [renderer.subscriber(event) for _ in range(6)]
    for cancelled, subscriber in enumerate(subscribers[:3], 1):
        await settled()
        assert renderer.executions == cancelled
        subscriber.cancel()
    await settled()
    renderer.released.set()
    assert await asyncio.gather(*subscribers[3:]) == [b'{"data":{"execution":4}}'] * 3
    assert renderer.executions == 4
    assert all(subscriber.cancelled() for subscriber in subscribers[:3])


async def settled() -> None:
    """Returns when every task has gone as far as it can: none of them waits for the outside."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_events_of_a_stopped_operation_are_dropped() -> None:
    reservation, stopped, running = StreamReservation((new_id(), new_id())), StreamOperation(), StreamOperation()
    for each, event in ((stopped, b"old"), (running, b"new")):
        reservation.events.put_nowait((each, event))
    stopped.stop()
    async with aclosing(reservation.chunks()) as chunks:
        assert [await anext(chunks) for _ in range(2)] == [b":\n\n", b"new"]
