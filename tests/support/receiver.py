"""An endpoint for webhooks that behaves as badly as it is told to. It speaks HTTP/1.1 by hand, so that it can."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Received:
    """One post. Names of headers are lower-case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Behaviour:
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())

    async def behave(writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} Said\r\ncontent-length: {len(body)}\r\n{named}\r\n"
        writer.write(head.encode("latin-1") + body)
        await writer.drain()

    return behave


def raw_response(raw: bytes) -> Behaviour:
    """These bytes, and then the end."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        writer.close()

    return behave


async def reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def silence(writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


def drip(head: bytes = b"HTTP/1.1 200 OK\r\nx-slow: ") -> Behaviour:
    """A byte now and then, for ever."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.05)

    return behave


async def flood(writer: asyncio.StreamWriter) -> None:
    """A good answer that never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 65_536)
        await writer.drain()


def repeat(head: bytes, part: bytes) -> Behaviour:
    """The same again and again, as fast as it is taken."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(part * 1_000)
            await writer.drain()

    return behave


@dataclass
class Receiver:
    """Behaves in turn as it was told; the last way stays. `at_once` is the most posts that it had open together."""

    behaviours: list[Behaviour] = field(default_factory=lambda: [answer()])
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    at_once: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    on_post: Callable[[Received], None] | None = None
    trusted: ssl.SSLContext | None = None
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    def will(self, *behaviours: Behaviour) -> None:
        self.behaviours = list(behaviours)

    async def start(self) -> None:
        """Listens; again at the same port after a stop."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.trusted)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuses every connection from now on."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while not writer.is_closing():
                await self._one(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        post = Received(first.split()[1], headers, body)
        self.received.append(post)
        self.open += 1
        self.at_once = max(self.at_once, self.open)
        try:
            if self.on_post is not None:
                self.on_post(post)
            behave = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
            await self.gate.wait()
            await behave(writer)
        finally:
            self.open -= 1
