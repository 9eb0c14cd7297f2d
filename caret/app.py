"""The web application: the routes of both edges, the health checks, and the middleware of every request."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import astuple
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import rest_compat
from caret import trusted_documents
from caret.adapters.postgres import is_migrated
from caret.settings import Settings
from caret.wiring import open_context
from models.base import new_id
from models.limits import limit
from resolvers.core.allowance import Meter
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.failures import describe
from rest_compat.openapi import page
from schema.endpoint import GraphQLEdge
from schema.transports import graphiql
from schema.transports.graphiql import GraphiQL
from streaming.connections import Connections

log = structlog.get_logger()

MAX_BODY_BYTES = limit(
    4 * 1024 * 1024,
    "The body of a request, and a WebSocket message",
    area="Requests",
    beyond="`PAYLOAD_TOO_LARGE`, 413; close 1009",
    unit="bytes",
)
ALLOWANCE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
"""On every response to an authenticated caller: an Allowance. Reset is in Unix seconds."""
ANY_ORIGIN: dict[str, Any] = {
    # Safe for any page: a credential is a header that the page must know, never a cookie that the browser adds.
    "allow_origins": ["*"],
    "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
    "allow_headers": ["*"],
    "expose_headers": ["X-Request-Id", "Retry-After", "Location", *ALLOWANCE_HEADERS],
    "max_age": 86400,
}
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def create_app(settings: Settings) -> Starlette:
    connections = Connections()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with open_context(settings) as context:
            yield {"context": context, "connections": connections}

    graphql, rest = GraphQLEdge(trusted_documents.options(settings)), rest_compat.routes()
    return Starlette(
        routes=[
            *rest,
            *page.routes(rest),
            Route("/graphql", GraphiQL(graphql) if settings.graphiql else graphql),
            WebSocketRoute("/graphql", graphql),
            *(graphiql.routes() if settings.graphiql else ()),
            Route("/health/live", live),
            Route("/health/ready", ready),
        ],
        middleware=[Middleware(RequestLog), Middleware(CORSMiddleware, **ANY_ORIGIN), Middleware(BodyLimit)],
        lifespan=lifespan,
    )


async def live(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> JSONResponse:
    """200 when this process can serve: the database answers, it is migrated, and the bus is connected."""
    context: Context = request.state.context
    checks = {"database": False, "migrations": False, "bus": context.bus.connected}
    try:
        async with asyncio.timeout(5):
            async with context.read() as tx:
                await tx.execute(text("SELECT 1"))
            checks["database"] = True
            checks["migrations"] = await is_migrated(context.database.engine)
    except (SQLAlchemyError, OSError) as error:
        log.warning("health.database", error=describe(error))
    is_ready = all(checks.values())
    if is_ready:
        # This process serves from now on: there is time to load what only replies need.
        context.agents.preload()
    return JSONResponse({"status": "ok" if is_ready else "unavailable", "checks": checks}, 200 if is_ready else 503)


class RequestLog:
    """Gives every request an id, the caller's own where that is well-formed, and logs the request.

    The id is on the response and in every line of the log. A response to a caller whom an edge has authenticated also
    says what is left of the caller's rate limit.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        sent_id = Headers(scope=scope).get("x-request-id", "")
        request_id = sent_id if REQUEST_ID.fullmatch(sent_id) else str(new_id())
        status, started = 0, time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.accept"}:
                status = message.get("status", 101)
                MutableHeaders(scope=message).update({"X-Request-Id": request_id, **allowance_headers(scope)})
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_headers)
            finally:
                milliseconds = round((time.perf_counter() - started) * 1000, 1)
                # Health checks come every few seconds.
                write = log.debug if scope["path"].startswith("/health/") else log.info
                write("request", method=scope.get("method", "WS"), path=scope["path"], status=status, ms=milliseconds)


def allowance_headers(scope: Scope) -> dict[str, str]:
    meter: Meter | None = scope.get("state", {}).get("meter")
    if meter is None or meter.allowance is None:
        return {}
    return {name: str(value) for name, value in zip(ALLOWANCE_HEADERS, astuple(meter.allowance), strict=True)}


class BodyLimit:
    """Stops reading a body beyond MAX_BODY_BYTES; the edge renders the error. Uploads bound themselves."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or rest_compat.is_upload(scope):
            await self.app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        declared = int(length[:20]) if length.isdigit() else 0
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive() if declared <= MAX_BODY_BYTES else {}
            read += len(message.get("body", b""))
            if max(declared, read) > MAX_BODY_BYTES:
                raise Problem(ErrorCode.PAYLOAD_TOO_LARGE, f"The request body is larger than {MAX_BODY_BYTES} bytes.")
            return message

        await self.app(scope, limited, send)
