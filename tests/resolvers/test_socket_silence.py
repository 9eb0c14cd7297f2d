"""A client of which nothing is heard for long: in this process, where the time until then can be short."""

import asyncio
import json
import time
from typing import Any

import pytest

from resolvers.auth import credentials
from resolvers.core.context import Context
from schema.execution.request import Options
from schema.transports import websocket
from schema.transports.websocket import PROTOCOL, SocketTransport
from streaming.connections import Connections
from tests.resolvers.helpers import Place, with_limits


async def talk(ctx: Context, answers_pings: bool, seconds: float) -> list[dict[str, Any]]:
    """What a client is sent that says `connection_init`, and then at most answers pings."""
    async with ctx.transaction() as tx:
        key = await credentials.create_key(tx, ctx.viewer.workspace_id, "test")
    headers = [(b"authorization", f"Bearer {key}".encode())]
    scope = {"type": "websocket", "path": "/", "headers": headers, "subprotocols": [PROTOCOL], "query_string": b""}
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    said.put_nowait({"type": "websocket.connect"})
    said.put_nowait({"type": "websocket.receive", "text": '{"type":"connection_init"}'})
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        told = json.loads(message["text"]) if "text" in message else message
        sent.append(told)
        if told["type"] == "ping" and answers_pings:
            said.put_nowait({"type": "websocket.receive", "text": '{"type":"pong"}'})

    async def leave() -> None:
        await asyncio.sleep(seconds)
        said.put_nowait({"type": "websocket.disconnect", "code": 1000})

    leaving = asyncio.create_task(leave())
    sockets = SocketTransport(Options())
    async with asyncio.timeout(30):
        await sockets({**scope, "state": {"context": ctx, "connections": Connections()}}, said.get, send)
    leaving.cancel()
    return sent


async def test_who_is_not_heard_has_left(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_SECONDS", 0.1)
    ctx = with_limits(place.ctx, stall_timeout_seconds=0.3)
    started = time.monotonic()
    sent = await talk(ctx, False, 25)
    assert 0.4 < time.monotonic() - started < 20
    assert [message["type"] for message in sent[:3]] == ["websocket.accept", "connection_ack", "ping"]
    close = sent[-1]
    assert (close["code"], close["reason"]) == (4499, "The client sent nothing for too long, not even a pong")


async def test_who_answers_pings_stays(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_SECONDS", 0.1)
    # Longer than a busy machine may let a pong wait.
    ctx = with_limits(place.ctx, stall_timeout_seconds=1.5)
    sent = await talk(ctx, True, 3)
    assert {message["type"] for message in sent[2:]} == {"ping"}
    assert not [task for task in asyncio.all_tasks() if "Connection" in repr(task.get_coro())]
