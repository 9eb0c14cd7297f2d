"""What one connection, and one process, holds in memory for those who do not read."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from graphql import OperationDefinitionNode, parse

from models.base import new_id
from schema.execution import shared_results
from schema.execution.run import Stream
from schema.execution.shared_results import MAX_SHARED, MAX_SHARED_SIZE, Shared
from schema.transports import sse_single_connection
from schema.transports.sse_single_connection import Reservation, Running
from schema.types.base import AT_ONCE, Request


class Endless:
    """A log that always has another event; counts those that were rendered."""

    def __init__(self) -> None:
        self.rendered = 0
        self.rows = self._rows()

    async def _rows(self) -> AsyncGenerator[Any, None]:
        seq = 0
        while True:
            seq += 1
            yield SimpleNamespace(workspace_id=UUID(int=1), seq=seq)

    async def told(self, _event: Any) -> bytes:
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
        for _ in range(3 * AT_ONCE):
            mine = request.own()
            mine.followed = cast(Any, log)
            first: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            streams.append(await stack.enter_async_context(aclosing(Stream(first, nothing(), mine))))
        asking = [asyncio.create_task(anext(stream)) for stream in streams]
        await asyncio.sleep(0.05)
        assert (log.rendered, sum(task.done() for task in asking)) == (AT_ONCE, AT_ONCE)
        # The first is sent, and another that is closed leaves its turn as well.
        more = asyncio.create_task(anext(streams[0]))
        await streams[1].aclose()
        await asyncio.sleep(0.05)
        assert log.rendered == AT_ONCE + 2
        for task in (more, *asking):
            task.cancel()
        await asyncio.wait({more, *asking})


def operation() -> OperationDefinitionNode:
    [node] = parse("{a}").definitions
    assert isinstance(node, OperationDefinitionNode)
    return node


async def test_what_is_kept_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_results, "FRESH", 0.05)
    shared = Shared()
    for number in range(MAX_SHARED + 1):
        shared.end(number, shared.begin(number, operation()), b"x" * MAX_SHARED_SIZE)
    assert (shared.get(0), len(shared._kept)) == (None, MAX_SHARED)
    for body in (None, b"x" * (MAX_SHARED_SIZE + 1)):
        mine = shared.begin("large", operation())
        known = shared.get("large")
        assert known is not None
        shared.end("large", mine, body)
        # Who waited for it has it; who comes later does not find it.
        assert (known.body.result(), shared.get("large")) == (body, None)
    await asyncio.sleep(0.2)
    assert not shared._kept


async def test_what_was_stopped_is_told_no_more() -> None:
    made, stopped, running = Reservation((new_id(), new_id())), Running(), Running()
    for each, event in ((stopped, b"old"), (running, b"new")):
        made.events.put_nowait((each, event))
    stopped.stop()
    async with aclosing(sse_single_connection._told(made)) as told:
        assert [await anext(told) for _ in range(2)] == [b":\n\n", b"new"]
