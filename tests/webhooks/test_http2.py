"""HTTP/2 with a receiver that speaks it: many posts at once on one connection, and answers that are not read whole."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from caret.adapters.webhook_client import CONNECTION_LOST
from models.webhook import DeliveryStatus
from resolvers.core.context import Context
from resolvers.core.ports.webhook_client import MAX_STORED_RESPONSE_BYTES, EndpointUnreachable
from tests.webhooks.helpers import deliver, hook, row, rows, work
from tests.webhooks.test_signatures import Trust, posting, trust

__all__ = ["trust"]


@dataclass
class Multiplexer:
    """Answers each post of a connection once it has as many as `together`."""

    trusted: Any
    together: int = 1
    status: str = "200"
    body: bytes = b"thanks"
    broken: bytes = b""
    """What comes instead of the body, once the head was read."""
    connections: int = 0
    posts: list[bytes] = field(default_factory=list)
    port: int = 0
    answer: Callable[[], None] = lambda: None
    """Answers what the last connection is waiting for."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        state.initiate_connection()
        writer.write(state.data_to_send())
        bodies: dict[int, bytes] = {}
        waiting: list[int] = []
        while data := await reader.read(65_536):
            for event in state.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                elif isinstance(event, h2.events.StreamEnded):
                    self.posts.append(bodies[event.stream_id])
                    waiting.append(event.stream_id)
                elif isinstance(event, h2.events.PingAckReceived):
                    writer.write(self.broken)
            self.answer = partial(self._answer, state, waiting, writer)
            if len(waiting) >= self.together:
                self.answer()
            writer.write(state.data_to_send())
            await writer.drain()
        writer.close()

    def _answer(self, state: h2.connection.H2Connection, waiting: list[int], writer: asyncio.StreamWriter) -> None:
        for stream in waiting:
            state.send_headers(stream, [(":status", self.status), ("x-protocol", "h2")])
            if self.broken:
                state.ping(b"received")
            else:
                state.send_data(stream, self.body, end_stream=True)
        waiting.clear()
        writer.write(state.data_to_send())


@pytest.fixture
async def multiplexer(trust: Trust) -> AsyncIterator[Multiplexer]:
    trust.server.set_alpn_protocols(["h2"])
    started = Multiplexer(trust.server)
    server = await asyncio.start_server(started.serve, "127.0.0.1", 0, ssl=trust.server)
    started.port = server.sockets[0].getsockname()[1]
    yield started
    server.close()
    await server.wait_closed()


async def test_many_posts_share_a_connection(ctx: Context, trust: Trust, multiplexer: Multiplexer) -> None:
    multiplexer.body = b"z" * 16_000
    async with posting(ctx, trust.client) as here:
        to = await hook(here, f"https://hooks.example.com:{multiplexer.port}/hooks")
        await deliver(here, to)
        await work(here)
        multiplexer.together = 4
        await deliver(here, to, 4)
        await work(here)
    assert (len(multiplexer.posts), multiplexer.connections) == (5, 1)
    for one in await rows(ctx, to):
        assert (one.response_status, one.response_headers) == (200, {"x-protocol": "h2"})
        assert one.response_body == "z" * MAX_STORED_RESPONSE_BYTES


@pytest.mark.parametrize(
    ("status", "error"),
    [("abc", "The answer could not be understood."), ("99999999999", CONNECTION_LOST), ("600", CONNECTION_LOST)],
)
async def test_a_status_that_is_none(
    ctx: Context, trust: Trust, multiplexer: Multiplexer, status: str, error: str
) -> None:
    multiplexer.status = status
    async with posting(ctx, trust.client) as here:
        [ident] = await deliver(here, await hook(here, f"https://hooks.example.com:{multiplexer.port}/hooks"))
        await work(here)
    got = await row(ctx, ident)
    assert (got.status, got.error, got.response_status) == (DeliveryStatus.PENDING, error, None)
    assert got.due_at > got.attempted_at


async def test_a_body_that_breaks_the_protocol(ctx: Context, trust: Trust, multiplexer: Multiplexer) -> None:
    """The status has come: it is delivered."""
    multiplexer.broken = b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x"
    async with posting(ctx, trust.client) as here:
        [ident] = await deliver(here, await hook(here, f"https://hooks.example.com:{multiplexer.port}/hooks"))
        await work(here)
    got = await row(ctx, ident)
    assert (got.status, got.response_status) == (DeliveryStatus.DELIVERED, 200)


async def test_one_that_times_out_beside_one_that_is_answered_later(
    ctx: Context, trust: Trust, multiplexer: Multiplexer
) -> None:
    """They share a connection; what ends one of them ends no other."""
    multiplexer.together = 3
    url = f"https://hooks.example.com:{multiplexer.port}/hooks"
    async with posting(ctx, trust.client) as here:
        slow = asyncio.create_task(here.webhook_client.post(url, {}, b"slow"))
        await arrived(multiplexer, 1)
        # So that the patience with the other ends later.
        await asyncio.sleep(2)
        later = asyncio.create_task(here.webhook_client.post(url, {}, b"later"))
        await arrived(multiplexer, 2)
        with pytest.raises(EndpointUnreachable, match="no answer within"):
            await slow
        multiplexer.answer()
        assert (await later).status == 200
    assert (multiplexer.posts, multiplexer.connections) == ([b"slow", b"later"], 1)


async def arrived(multiplexer: Multiplexer, posts: int) -> None:
    async with asyncio.timeout(30):
        while len(multiplexer.posts) < posts:
            await asyncio.sleep(0.01)
