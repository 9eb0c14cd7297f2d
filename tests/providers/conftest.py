"""The loopback provider: one server for all tests, and what it answers for each."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from caret.providers.gateways import create_streaming_client
from caret.providers.streaming_client import StreamingClient

from .helpers import FakeProvider

PATHS = ("embeddings", "chat/completions", "responses")


@pytest.fixture(scope="session")
def server() -> Iterator[FakeProvider]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fake = FakeProvider(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        routes = [Route(f"/v1/{path}", fake.serve, methods=["POST"]) for path in PATHS]
        running = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        yield fake
        running.should_exit = True
        thread.join()


@pytest.fixture
def provider(server: FakeProvider) -> FakeProvider:
    server.answer = None
    server.answers.clear()
    server.calls.clear()
    server.left.clear()
    return server


@pytest_asyncio.fixture
async def client(provider: FakeProvider) -> AsyncIterator[StreamingClient]:
    streaming_client = create_streaming_client(provider.url, None, 5.0)
    yield streaming_client
    await streaming_client.close()
