"""An event is executed once for all who follow it by the same operation with the same rights, and told to each."""

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
from schema.execution.run import SubscriptionEvent, SubscriptionStream, run
from schema.execution.shared_results import SharedResults
from tests.resolvers.helpers import Place, change, statements, write

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
    found = await run(OperationRequest(query, variables=variables), Request(ctx))
    assert isinstance(found, SubscriptionStream), found
    stack.push_async_callback(found.aclose)
    return found


async def told(streams: list[SubscriptionStream], me: Context, note: Record, title: str) -> tuple[list[Any], int]:
    """What each of them hears of a change, and how often the changed note was read for it."""
    waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await asyncio.sleep(0.2)
    with statements(me) as said:
        await change(me, note, title=title)
        async with asyncio.timeout(20):
            heard = [payload(event := await each)["data"]["workspaceEvents"] | {"at": event.cursor} for each in waiting]
    reads = [one for one in said if "notes.title" in one and "FOR UPDATE" not in one and one.startswith("SELECT")]
    return heard, len(reads)


async def test_the_same_for_the_same_and_its_own_for_each_other(place: Place) -> None:
    me, note = place.ctx, await write(place.ctx)
    member = await place.member()
    async with AsyncExitStack() as stack:
        _, alone = await told([await subscribe(stack, me)], me, note, "alone")
        same = [await subscribe(stack, me) for _ in range(20)]
        for title in ("one", "two"):
            heard, read = await told(same, me, note, title)
            assert [event["note"]["title"] for event in heard] == [title] * 20
            assert len({event["at"] for event in heard}) == 1
            assert all(event["cursor"] == event["at"] for event in heard)
            assert read <= alone + 1
    async with AsyncExitStack() as stack:
        others = [await subscribe(stack, ctx, first=first) for ctx in (me, member) for first in (1, 2)]
        text = QUERY.replace("actor {", "by: actor {")
        others.append(await subscribe(stack, me, text))
        heard, read = await told(others, me, note, "others")
        assert [event["note"]["title"] for event in heard] == ["others"] * 5
        assert ["by" in event for event in heard] == [False] * 4 + [True]
        assert read >= 5


async def test_where_one_starts_makes_no_difference(place: Place) -> None:
    me, note = place.ctx, await write(place.ctx)
    async with AsyncExitStack() as stack:
        first = await subscribe(stack, me)
        [event], alone = await told([first], me, note, "once")
        streams = [await subscribe(stack, me, after=event["cursor"]) for _ in range(5)] + [first]
        heard, read = await told(streams, me, note, "again")
        assert [event["note"]["title"] for event in heard] == ["again"] * 6
        assert read <= alone + 1


async def test_what_failed_is_tried_by_each(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is told under the id of their own request, and by what they may know."""
    me, note = place.ctx, await write(place.ctx)
    wrong = QUERY.replace("totalCount edges { cursor }", "edges { cursor }").replace("= 1", "= 1000")
    async with AsyncExitStack() as stack:
        streams = [await subscribe(stack, me, wrong) for _ in range(3)]
        waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
        await asyncio.sleep(0.2)
        await change(me, note, title="wrong")
        async with asyncio.timeout(20):
            heard = [payload(await each) for each in waiting]
    assert [[error["extensions"]["code"] for error in told["errors"]] for told in heard] == [["BAD_USER_INPUT"]] * 3


async def test_nothing_is_kept_for_long(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = SharedResults(seconds=60, most=3)
    monkeypatch.setattr(shared_results, "shared_results", shared)
    me, note = place.ctx, await write(place.ctx)
    async with AsyncExitStack() as stack:
        streams = [await subscribe(stack, me)]
        for number in range(6):
            await told(streams, me, note, str(number))
            assert len(shared) <= 3
