"""Followers of the benchmarks: connections that keep what they receive and when, in a process of their own.

Reads a JSON list from its input, an object for each follower: `kind` (websocket, sse or model), `host`, `port`,
`credential`, `reply`, `conversation`. Writes a JSON list: for each the `text` it has heard, and the milliseconds that
each piece took since the model sent it. What is received is read only at the end, so that following costs little.
"""

import asyncio
import json
import re
import sys
import time
from bisect import bisect_left
from itertools import accumulate
from typing import Any, cast

import uvloop

REPLY = "subscription($id: ID!) { reply(messageId: $id) { __typename ... on ReplyDelta { content } } }"
PING = b"\x89\x04"
"""How a server's ping begins; its four bytes follow. What is sent besides is ASCII."""
JOINING = 0.03
"""Seconds between two followers that join."""
ENDS = {"websocket": b'"complete"', "sse": b'"type":"done"', "model": b"[DONE]"}
PIECE = re.compile(r"\d+:(\d+) ")


class ReplyClient(asyncio.Protocol):
    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.received: list[tuple[int, bytes]] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._end = ENDS[options["kind"]]
        self._steps = iter(OPENINGS[options["kind"]](options))

        self.opened = time.monotonic_ns() // 1000

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Uvloop's transports are no instances of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(next(self._steps))

    def data_received(self, data: bytes) -> None:
        if step := next(self._steps, None):
            self._transport.write(step)
        if (ping := data.find(PING)) >= 0 and self.options["kind"] == "websocket":
            # A client that does not answer it is taken for gone.
            self._transport.write(b"\x8a\x84" + bytes(4) + data[ping + 2 : ping + 6])
        if b'"type":"ping"' in data and self.options["kind"] == "websocket":
            self._transport.write(frame({"type": "pong"}))
        self.received.append((time.monotonic_ns() // 1000, data))
        if self._end in data and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            last = b"".join(data for _, data in self.received)[-300:]
            self.done.set_exception(error or ConnectionError(f"the connection ended before the reply did: {last!r}"))

    def result(self) -> dict[str, Any]:
        text, waits = "", []
        ends = list(accumulate(len(data) for _, data in self.received))
        for at, piece in read(b"".join(data for _, data in self.received), self.options["kind"]):
            text += piece
            arrived, _ = self.received[bisect_left(ends, at)]
            # What was said before this follower came took as long as it was late.
            waits += [(arrived - int(sent)) / 1000 for sent in PIECE.findall(piece) if int(sent) > self.opened]
        return {"text": text, "waits": waits}


def read(data: bytes, kind: str) -> list[tuple[int, str]]:
    """The pieces of text, each with the place where it ends. JSON objects stand in the bytes as they are."""
    pattern, pieces = rb'\{"id":"1","type":"next".*?\}\}\}\}' if kind == "websocket" else rb"data: (\{.*\})\n", []
    for match in re.finditer(pattern, data):
        event = json.loads(match[0] if kind == "websocket" else match[1])
        piece = TEXTS[kind](event)
        if piece:
            pieces.append((match.end(), piece))
    return pieces


TEXTS: dict[str, Any] = {
    "websocket": lambda event: event["payload"]["data"]["reply"].get("content"),
    "sse": lambda event: event["content"] if event["type"] == "delta" else None,
    "model": lambda event: event["choices"][0]["delta"].get("content") if event["choices"] else None,
}


def frame(message: dict[str, Any]) -> bytes:
    """A text frame of a client, masked with zeros."""
    data = json.dumps(message).encode()
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
    return b"\x81" + length + bytes(4) + data


def opening_websocket(options: dict[str, Any]) -> tuple[bytes, ...]:
    """The handshake, and what follows the answer to it."""
    head = (
        f"GET /graphql HTTP/1.1\r\nHost: {options['host']}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: graphql-transport-ws\r\nAuthorization: Bearer {options['credential']}\r\n\r\n"
    )
    payload = {"query": REPLY, "variables": {"id": options["reply"]}}
    subscribe = {"id": "1", "type": "subscribe", "payload": payload}
    return head.encode(), frame({"type": "connection_init"}) + frame(subscribe)


def opening_sse(options: dict[str, Any]) -> tuple[bytes, ...]:
    path = f"/api/v1/ai/conversations/{options['conversation']}/stream?message_id={options['reply']}"
    head = f"GET {path} HTTP/1.1\r\nHost: {options['host']}\r\nAuthorization: Bearer {options['credential']}\r\n\r\n"
    return (head.encode(),)


def opening_model(options: dict[str, Any]) -> tuple[bytes, ...]:
    body = b'{"stream": true}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {options['host']}\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head.encode() + body,)


OPENINGS = {"websocket": opening_websocket, "sse": opening_sse, "model": opening_model}


async def follow(followers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    loop, opened = asyncio.get_running_loop(), []
    for options in followers:
        _, follower = await loop.create_connection(
            lambda options=options: ReplyClient(options), options["host"], options["port"]
        )  # type: ignore[misc]
        opened.append(follower)
        # One after the other: who joins pays for the handshake, and that is not what is measured.
        await asyncio.sleep(JOINING)
    async with asyncio.timeout(240):
        await asyncio.gather(*(follower.done for follower in opened))
    return [follower.result() for follower in opened]


if __name__ == "__main__":
    json.dump(uvloop.run(follow(json.load(sys.stdin))), sys.stdout)
