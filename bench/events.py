"""One event to a thousand followers, and the same by a plain broadcast."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import nats
import websockets

from bench.stage import Stage
from models import EventType
from models.base import as_id
from resolvers.core.database import Transaction
from resolvers.events.log import publish
from tests.support.servers import server_process

FOLLOWERS, EVENTS = 1_000, 10
PAUSE = 1.0
"""Seconds between two events: each is alone."""
PLAIN = "subscription { workspaceEvents { cursor id type noteId createdAt } }"
FULL = """subscription { workspaceEvents {
  cursor id type createdAt actor { __typename } note { id title summary tags { name } createdBy { name } }
} }"""

Send = Callable[[], Awaitable[int]]
"""Sends one event; returns the microseconds of the monotonic clock when it was committed."""


async def run(stage: Stage) -> None:
    """One event to 1,000 followers with one key, in one process and in two; a plain websockets broadcast beside it."""
    async with broadcasting() as (url, send):
        base = await measured("plain websockets broadcast", url, send, {})
    for workers in (1, 2):
        settings = {**stage.settings, "connections_per_caller": str(FOLLOWERS)}
        with server_process("--workers", str(workers), **settings) as served:
            bus = await nats.connect(stage.settings["nats_url"])
            for name, query in (("event alone", PLAIN), ("event with its note", FULL)):
                options = {"credential": stage.caller.credential, "query": query}
                label = f"{workers} process{'es' if workers > 1 else ''}, {name}"
                await measured(label, served.url, publishing(stage, bus), options, base)
            await bus.close()


def publishing(stage: Stage, bus: Any) -> Send:
    async def send() -> int:
        note_id = as_id(stage.note_ids[0])
        async with stage.database.begin() as connection:
            tx = Transaction(connection)
            await publish(tx, None, EventType.NOTE_UPDATED, workspace_id=stage.workspace_id, note_id=note_id)
        committed = time.monotonic_ns() // 1000
        await bus.publish(f"events.{stage.workspace_id}", str(tx.wakeups[stage.workspace_id]).encode())
        await bus.flush()
        return committed

    return send


@asynccontextmanager
async def broadcasting() -> Any:
    command = (sys.executable, "-m", "bench.broadcast")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    # As long as what the server sends for the plain event.
    message = json.dumps({"type": "next", "payload": {"data": {"workspaceEvents": "x" * 220}}}, separators=(",", ":"))
    try:
        async with websockets.connect(url.replace("http", "ws") + "/send") as sender:

            async def send() -> int:
                sent = time.monotonic_ns() // 1000
                await sender.send(message)
                return sent

            yield url, send
    finally:
        process.terminate()
        await process.wait()


async def measured(name: str, url: str, send: Send, options: dict[str, Any], base: float | None = None) -> float:
    """The milliseconds from an event's commit to the first and the last follower, in the middle of all events."""
    address = urlsplit(url)
    request = {"host": address.hostname, "port": address.port, "number": FOLLOWERS, "events": EVENTS, **options}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.event_subscribers"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**30,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(request).encode() + b"\n")
    assert await process.stdout.readline() == b"ready\n"
    sent = []
    for _ in range(EVENTS):
        sent.append(await send())
        await asyncio.sleep(PAUSE)
    received = json.loads(await process.stdout.read())
    await process.wait()
    waits = [sorted((one[number] - sent[number]) / 1000 for one in received) for number in range(EVENTS)]
    first, middle, last = (
        sorted(each[position] for each in waits)[EVENTS // 2] for position in (0, FOLLOWERS // 2, -1)
    )
    ratio = "" if base is None else f"   {last / base:5.1f} x"
    print(f"  {name:<34} first {first:7.1f} ms   middle {middle:7.1f} ms   last {last:7.1f} ms{ratio}", flush=True)
    return last
