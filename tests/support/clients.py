"""Real clients: HTTP through httpx, WebSockets through websockets, SSE through httpx-sse."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import websockets
from httpx_sse import ServerSentEvent, aconnect_sse
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

from tests.support.servers import RunningServer, ServerThread

PROTOCOL = Subprotocol("graphql-transport-ws")
NOBODY = "0198bbbb-0000-7000-8000-000000000000"
"""An id that nothing has; always the same, so that every process of the tests collects the same ones."""


@dataclass
class Caller:
    """Somebody with a credential, talking to one server."""

    served: RunningServer
    credential: str
    user_id: uuid.UUID | None = None
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.credential}"} if self.credential else {}
        # To read the certificates for TLS, which no test speaks, takes a tenth of a second.
        self.http = httpx.AsyncClient(base_url=self.served.url, headers=headers, timeout=30, verify=False)

    async def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole answer: `data`, and `errors` where there are any."""
        response = await self.http.post("/graphql", json={"query": query, "variables": variables})
        answer: dict[str, Any] = response.json()
        return answer

    async def data(self, query: str, **variables: Any) -> Any:
        answer = await self.graphql(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def code(self, query: str, **variables: Any) -> str:
        """The code of the answer's one error."""
        answer = await self.graphql(query, **variables)
        [error] = answer["errors"]
        return str(error["extensions"]["code"])

    @asynccontextmanager
    async def socket(self) -> AsyncIterator["Socket"]:
        async with websockets.connect(self.served.ws_url, subprotocols=[PROTOCOL]) as connection:
            await connection.send(
                json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {self.credential}"}})
            )
            assert json.loads(await connection.recv()) == {"type": "connection_ack"}
            yield Socket(connection, self.served)

    async def subscribed(self, query: str, **variables: Any) -> list[dict[str, Any]]:
        """All payloads of a subscription that ends by itself."""
        async with self.socket() as socket:
            return [payload async for payload in socket.subscribe(query, **variables)]

    @asynccontextmanager
    async def sse(self, method: str, path: str, **request: Any) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
        async with aconnect_sse(self.http, method, path, **request) as source:
            assert source.response.status_code == 200, (source.response.status_code, await source.response.aread())
            yield source.aiter_sse()

    async def close(self) -> None:
        await self.http.aclose()


class Socket:
    """A graphql-transport-ws connection; any number of operations at a time."""

    def __init__(self, connection: ClientConnection, server: RunningServer) -> None:
        self.connection = connection
        self._server = server
        self._last = 0
        self._waiting: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def start(self, query: str, **variables: Any) -> str:
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        self._last += 1
        name = str(self._last)
        self._waiting[name] = asyncio.Queue()
        payload = {"query": query, "variables": variables}
        await self.connection.send(json.dumps({"id": name, "type": "subscribe", "payload": payload}))
        return name

    async def start_live(self, query: str, **variables: Any) -> str:
        """Like `start`, for a subscription to events without a cursor: returns once it gets all later events. The
        protocol has no message for that, so this looks into the server."""
        assert isinstance(self._server, ServerThread)
        before = self._server.count_subscriptions()
        name = await self.start(query, **variables)
        async with asyncio.timeout(60):
            while self._server.count_subscriptions() == before:
                await asyncio.sleep(0.005)
        return name

    async def next(self, name: str, seconds: float = 60) -> dict[str, Any]:
        """The next message of an operation: type next, error or complete."""
        async with asyncio.timeout(seconds):
            return await self._waiting[name].get()

    async def subscribe(self, query: str, **variables: Any) -> AsyncIterator[dict[str, Any]]:
        """The payloads of an operation until it completes. An `error` message is yielded as {"errors": …}."""
        name = await self.start(query, **variables)
        while (message := await self.next(name))["type"] == "next":
            yield message["payload"]
        if message["type"] == "error":
            yield {"errors": message["payload"]}

    async def _read(self) -> None:
        try:
            async for text in self.connection:
                message = json.loads(text)
                if message["type"] == "ping":
                    await self.connection.send('{"type": "pong"}')
                elif "id" in message:
                    self._waiting[message["id"]].put_nowait(message)
        except websockets.ConnectionClosed:
            pass
        for queue in self._waiting.values():
            queue.put_nowait({"type": "closed"})
