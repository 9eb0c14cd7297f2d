"""Streams end with the token that they were opened with, and close what they read from."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from models import Role
from models.base import new_id
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.viewer import Viewer
from streaming.token_expiry import until_token_expires, wait_for_token_expiry

KEY_HOLDER = Viewer(new_id(), new_id(), Role.MEMBER)


class Source:
    """Three events, then silence."""

    def __init__(self, *, endless: bool = True) -> None:
        self.endless = endless
        self.closed = False

    async def events(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(3):
                yield number
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.closed = True


@pytest.mark.parametrize("lifetime", [1.0, -5.0])
async def test_a_token_that_expires_ends_the_stream(lifetime: float) -> None:
    source, received = Source(), list[int]()
    viewer = replace(KEY_HOLDER, expires_at=time.time() + lifetime)

    async def read() -> None:
        async for number in until_token_expires(source.events(), viewer):
            received.append(number)

    with pytest.raises(Problem) as ended:
        await asyncio.wait_for(read(), 30)
    assert ended.value.code is ErrorCode.UNAUTHENTICATED
    assert (received, source.closed) == ([0, 1, 2] if lifetime > 0 else [], lifetime > 0)


@pytest.mark.parametrize("viewer", [None, KEY_HOLDER, replace(KEY_HOLDER, expires_at=time.time() + 3600)])
async def test_other_streams_end_when_their_events_do(viewer: Viewer | None) -> None:
    source = Source(endless=False)
    assert [number async for number in until_token_expires(source.events(), viewer)] == [0, 1, 2]
    assert source.closed


async def test_a_timeout_of_the_events_themselves_is_no_expiry() -> None:
    async def events() -> AsyncGenerator[int, None]:
        yield 1
        raise TimeoutError("the source's own")

    viewer = replace(KEY_HOLDER, expires_at=time.time() + 3600)
    with pytest.raises(TimeoutError, match="the source's own"):
        assert [number async for number in until_token_expires(events(), viewer)]


async def test_waiting_for_the_expiry_ends_for_a_token_and_never_for_a_key() -> None:
    await asyncio.wait_for(wait_for_token_expiry(replace(KEY_HOLDER, expires_at=time.time() + 0.05)), 30)
    for viewer in (None, KEY_HOLDER):
        waiting = asyncio.create_task(wait_for_token_expiry(viewer))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        waiting.cancel()
