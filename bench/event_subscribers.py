"""Listeners of the benchmark of events: connections that note when an event came, in a process of their own.

Reads a JSON object from the first line of its input: `host`, `port`, `number` of listeners, how many `events` there
will be, and the `credential` and `query` of a subscription (without: of a plain broadcast). Says "ready" once all are
connected; at the end writes a JSON list with the microseconds of the monotonic clock at which each heard each event.
"""

import asyncio
import json
import sys
import time
from typing import Any, cast

import uvloop

from bench.reply_subscribers import PING, frame

JOINING = 0.004
"""Seconds between two listeners that join."""
SETTLING = 2.0
"""Seconds until a subscription that was sent follows: the protocol has no word for that."""


class Listener(asyncio.Protocol):
    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self.received_at: list[int] = []
        self.opened = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Uvloop's transports are no instances of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(head(self._options))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns() // 1000
        if not self.opened.done():
            self.opened.set_result(None)
            if "credential" in self._options:
                self._transport.write(opening(self._options["query"]))
        if (ping := data.find(PING)) >= 0:
            self._transport.write(b"\x8a\x84" + bytes(4) + data[ping + 2 : ping + 6])
        if b'"type":"ping"' in data:
            self._transport.write(frame({"type": "pong"}))
        self.received_at += [now] * data.count(b'"workspaceEvents"')
        if len(self.received_at) >= self._options["events"] and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        for waited in (self.opened, self.done):
            if not waited.done():
                waited.set_exception(error or ConnectionError("the connection ended"))


def head(options: dict[str, Any]) -> bytes:
    protocol = "Sec-WebSocket-Protocol: graphql-transport-ws\r\n" if "credential" in options else ""
    account = f"Authorization: Bearer {options['credential']}\r\n" if "credential" in options else ""
    return (
        f"GET /graphql HTTP/1.1\r\nHost: {options['host']}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n{protocol}{account}\r\n"
    ).encode()


def opening(query: str) -> bytes:
    return frame({"type": "connection_init"}) + frame({"id": "1", "type": "subscribe", "payload": {"query": query}})


async def listen(options: dict[str, Any]) -> list[list[int]]:
    loop, opened = asyncio.get_running_loop(), []
    for _ in range(options["number"]):
        _, listener = await loop.create_connection(lambda: Listener(options), options["host"], options["port"])
        opened.append(listener)
        await asyncio.sleep(JOINING)
    await asyncio.gather(*(listener.opened for listener in opened))
    await asyncio.sleep(SETTLING)
    print("ready", flush=True)
    async with asyncio.timeout(120):
        await asyncio.gather(*(listener.done for listener in opened))
    return [listener.received_at for listener in opened]


if __name__ == "__main__":
    json.dump(uvloop.run(listen(json.loads(sys.stdin.readline()))), sys.stdout)
