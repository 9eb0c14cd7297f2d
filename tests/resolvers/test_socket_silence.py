"""A WebSocket whose client is silent for long: in this process, with a clock that passes a second with each ping."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from operator import ge
from typing import Any

import pytest

from resolvers.auth import credentials
from resolvers.core.context import Context
from schema.execution.request import Options
from schema.transports import websocket
from schema.transports.websocket import PROTOCOL, SocketTransport
from streaming.connections import Connections
from tests.resolvers.helpers import OwnWorkspace, with_limits


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(websocket, "time", clock)
    monkeypatch.setattr(websocket, "PING_SECONDS", 0.1)
    return clock


async def talk(ctx: Context, clock: Clock, *, answers: Callable[[int], bool]) -> list[dict[str, Any]]:
    """What a client is sent that sends `connection_init`, answers a ping if `answers(its number)`, and leaves after
    twenty pings."""
    async with ctx.transaction() as tx:
        key = await credentials.create_key(tx, ctx.viewer.workspace_id, "test")
    headers = [(b"authorization", f"Bearer {key}".encode())]
    scope = {"type": "websocket", "path": "/", "headers": headers, "subprotocols": [PROTOCOL], "query_string": b""}
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming.put_nowait({"type": "websocket.connect"})
    incoming.put_nowait({"type": "websocket.receive", "text": '{"type":"connection_init"}'})
    sent: list[dict[str, Any]] = []
    pings = 0

    async def send(message: Any) -> None:
        nonlocal pings
        sent.append(json.loads(message["text"]) if "text" in message else message)
        if sent[-1]["type"] != "ping":
            return
        pings += 1
        clock.seconds += 1
        if answers(pings):
            incoming.put_nowait({"type": "websocket.receive", "text": '{"type":"pong"}'})
        if pings == 20:
            incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})

    state = {"context": ctx, "connections": Connections()}
    async with asyncio.timeout(60):
        await SocketTransport(Options())({**scope, "state": state}, incoming.get, send)
    return sent


async def test_a_client_that_is_silent_for_too_long_is_closed(own_workspace: OwnWorkspace, clock: Clock) -> None:
    """The longest silence is the stall timeout and the time between two pings, 3.6 seconds here."""
    ctx = with_limits(own_workspace.ctx, stall_timeout_seconds=3.5)
    for answered in (0, 5):
        sent = await talk(ctx, clock, answers=partial(ge, answered))
        kinds = [message["type"] for message in sent]
        # The last answer came with its ping, at the same second; four pings later there were four seconds of silence.
        assert kinds == [
            "websocket.accept",
            "connection_ack",
            *["ping"] * (answered + 4),
            "websocket.close",
        ]
        close = sent[-1]
        assert (close["code"], close["reason"]) == (4499, "The client sent nothing for too long, not even a pong")


async def test_a_client_that_answers_pings_stays(own_workspace: OwnWorkspace, clock: Clock) -> None:
    sent = await talk(with_limits(own_workspace.ctx, stall_timeout_seconds=3.5), clock, answers=lambda _: True)
    assert [message["type"] for message in sent] == ["websocket.accept", "connection_ack", *["ping"] * 20]
    assert not [task for task in asyncio.all_tasks() if "SocketConnection" in repr(task.get_coro())]
