"""Strawberry's own ASGI app on a real server, and a client for each of its transports."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

import httpx
import orjson
import pytest
import structlog
import uvicorn
from starlette.types import Receive, Scope, Send
from strawberry.asgi import GraphQL
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

REQUEST_ID = "req-1"


class Socket:
    """One graphql-transport-ws connection: `run` an operation and get its messages without their ids."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.count = 0

    async def run(self, query: object, **payload: object) -> list[dict[str, Any]]:
        self.count += 1
        ident = str(self.count)
        messages: list[dict[str, Any]] = []
        body = {"id": ident, "type": "subscribe", "payload": {"query": query, **payload}}
        await self.connection.send(orjson.dumps(body).decode())
        while not messages or messages[-1]["type"] == "next":
            message = orjson.loads(await asyncio.wait_for(self.connection.recv(), 30))
            assert message.pop("id") == ident
            messages.append(message)
        return messages


class Client:
    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"

    async def post(self, query: object, **body: object) -> Any:
        async with httpx.AsyncClient(trust_env=False) as http:
            response = await http.post(f"http://{self.address}/", json={"query": query, **body})
        assert response.status_code == 200, response.text
        return response.json()

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[Socket]:
        protocols = [Subprotocol("graphql-transport-ws")]
        async with connect(f"ws://{self.address}/", subprotocols=protocols, proxy=None) as connection:
            await connection.send('{"type": "connection_init"}')
            assert orjson.loads(await connection.recv()) == {"type": "connection_ack"}
            yield Socket(connection)


class App(GraphQL[Any, Any]):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with structlog.contextvars.bound_contextvars(request_id=REQUEST_ID):
            await super().__call__(scope, receive, send)


@contextmanager
def _serve(schema: Any) -> Iterator[Client]:
    config = uvicorn.Config(
        App(schema, graphql_ide=None), "127.0.0.1", 0, ws="websockets-sansio", lifespan="off", log_level="error"
    )
    server, started = uvicorn.Server(config), threading.Event()
    startup = server.startup

    async def notify(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        started.set()

    server.startup = notify  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert started.wait(5)
        yield Client(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def serve() -> Callable[[Any], AbstractContextManager[Client]]:
    return _serve
