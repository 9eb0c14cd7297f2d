"""The REST edge alone: who asks is given, and no resolver is reached unless a test puts one in its place."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

import rest_compat
from models import Role
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.viewer import Viewer
from streaming.connections import Connections

KEY = "sk-caret-api-known"
NOTE = UUID("0198aaaa-0000-7000-8000-000000000001")


async def authenticate(_ctx: object, credential: str, _workspace_id: UUID | None = None, **_: object) -> Viewer:
    if credential != KEY:
        raise Problem(ErrorCode.UNAUTHENTICATED, "This API key is unknown or was revoked.")
    return Viewer(NOTE, NOTE, Role.ADMIN)


def acting_for(viewer: Viewer) -> Any:
    """The parts of a context that the edge itself reads."""
    return SimpleNamespace(
        viewer=viewer, caller=viewer, limits=SimpleNamespace(connections_per_caller=100, stall_timeout_seconds=30.0)
    )


@pytest.fixture
async def edge(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr("rest_compat.request.authenticate", authenticate)
    context = SimpleNamespace(for_viewer=lambda viewer, _meter: acting_for(viewer))
    app = Starlette(routes=rest_compat.routes())

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {"context": context, "connections": Connections()}}, receive, send)

    transport = httpx.ASGITransport(app=with_state)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://edge", headers=headers) as client:
        yield client


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`raising("resolvers.notes.get_note", error)` puts a resolver that only raises in that place."""

    def put(function: str, error: Exception) -> None:
        async def raises(*_args: object, **_kwargs: object) -> None:
            raise error

        monkeypatch.setattr(function, raises)

    return put
