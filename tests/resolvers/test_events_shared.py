"""An event is executed once for all subscribers with the same operation and the same rights."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest

from models.base import Record
from resolvers.core.context import Context
from resolvers.events import feed
from schema.execution import shared_results
from schema.execution.operation import OperationRequest
from schema.execution.request import Request
from schema.execution.shared_results import SharedResults
from schema.transports.run import SubscriptionEvent, SubscriptionStream, run
from tests.resolvers.helpers import OwnWorkspace, change, statements, write

QUERY = """subscription($after: Cursor, $first: Int = 1) { workspaceEvents(types: [NOTE_UPDATED], after: $after) {
  cursor actor { __typename } note { title transcripts(first: $first) { totalCount edges { cursor } } }
} }"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "POLL_SECONDS", 0.1)
    # However slow the machine is.
    monkeypatch.setattr(shared_results, "shared_results", SharedResults(seconds=60))


def payload(event: SubscriptionEvent) -> Any:
    return orjson.loads(event.body)


async def subscribe(stack: AsyncExitStack, ctx: Context, query: str = QUERY, **variables: Any) -> SubscriptionStream:
    stream = await run(OperationRequest(query, variables=variables), Request(ctx))
    assert isinstance(stream, SubscriptionStream), stream
    stack.push_async_callback(stream.aclose)
    return stream


async def delivered(streams: list[SubscriptionStream], me: Context, note: Record, title: str) -> tuple[list[Any], int]:
    """What each stream delivers for a change, and how often the changed note was read for that."""
    waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await asyncio.sleep(0.2)
    with statements(me) as executed:
        await change(me, note, title=title)
        async with asyncio.timeout(20):
            events = [
                payload(event := await each)["data"]["workspaceEvents"] | {"at": event.cursor} for each in waiting
            ]
    reads = [one for one in executed if "notes.title" in one and "FOR UPDATE" not in one and one.startswith("SELECT")]
    return events, len(reads)


async def test_equal_subscriptions_share_a_result_and_others_do_not(own_workspace: OwnWorkspace) -> None:
    me, note = own_workspace.ctx, await write(own_workspace.ctx)
    member = await own_workspace.member()
    async with AsyncExitStack() as stack:
        _, alone = await delivered([await subscribe(stack, me)], me, note, "alone")
        same = [await subscribe(stack, me) for _ in range(20)]
        for title in ("one", "two"):
            events, read = await delivered(same, me, note, title)
            assert [event["note"]["title"] for event in events] == [title] * 20
            assert len({event["at"] for event in events}) == 1
            assert all(event["cursor"] == event["at"] for event in events)
            assert read <= alone + 1
    async with AsyncExitStack() as stack:
        others = [await subscribe(stack, ctx, first=first) for ctx in (me, member) for first in (1, 2)]
        text = QUERY.replace("actor {", "by: actor {")
        others.append(await subscribe(stack, me, text))
        events, read = await delivered(others, me, note, "others")
        assert [event["note"]["title"] for event in events] == ["others"] * 5
        assert ["by" in event for event in events] == [False] * 4 + [True]
        assert read >= 5


async def test_the_cursor_to_start_after_makes_no_difference(own_workspace: OwnWorkspace) -> None:
    me, note = own_workspace.ctx, await write(own_workspace.ctx)
    async with AsyncExitStack() as stack:
        first = await subscribe(stack, me)
        [event], alone = await delivered([first], me, note, "once")
        streams = [await subscribe(stack, me, after=event["cursor"]) for _ in range(5)] + [first]
        events, read = await delivered(streams, me, note, "again")
        assert [event["note"]["title"] for event in events] == ["again"] * 6
        assert read <= alone + 1


async def test_a_failed_result_is_not_shared(own_workspace: OwnWorkspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each subscriber gets the error with the id of their own request."""
    me, note = own_workspace.ctx, await write(own_workspace.ctx)
    wrong = QUERY.replace("totalCount edges { cursor }", "edges { cursor }").replace("= 1", "= 1000")
    async with AsyncExitStack() as stack:
        streams = [await subscribe(stack, me, wrong) for _ in range(3)]
        waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
        await asyncio.sleep(0.2)
        await change(me, note, title="wrong")
        async with asyncio.timeout(20):
            events = [payload(await each) for each in waiting]
    assert [[error["extensions"]["code"] for error in event["errors"]] for event in events] == [["BAD_USER_INPUT"]] * 3


async def test_the_number_of_shared_results_is_bounded(
    own_workspace: OwnWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = SharedResults(seconds=60, most=3)
    monkeypatch.setattr(shared_results, "shared_results", shared)
    me, note = own_workspace.ctx, await write(own_workspace.ctx)
    async with AsyncExitStack() as stack:
        streams = [await subscribe(stack, me)]
        for number in range(6):
            await delivered(streams, me, note, str(number))
            assert len(shared) <= 3
