"""settings -> Context -> Starlette: both edges, health, and what every request passes through."""

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
from caret.wiring import opened
from models.base import new_id
from resolvers.core.allowance import Meter
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from rest_compat.openapi import page
from schema.endpoint import GraphQLEdge
from schema.transports import graphiql
from schema.transports.graphiql import GraphiQL
from streaming.connections import Connections

log = structlog.get_logger()

MAX_BODY = 4 * 1024 * 1024
"""Bytes of a request's body, and of a WebSocket message."""
ALLOWANCE = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
"""On every reply to a known caller: an Allowance. Reset is in Unix seconds."""
ANY_ORIGIN: dict[str, Any] = {
    # Safe for any page: a credential is a header that the page must know, never a cookie that the browser adds.
    "allow_origins": ["*"],
    "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
    "allow_headers": ["*"],
    "expose_headers": ["X-Request-Id", "Retry-After", "Location", *ALLOWANCE],
    "max_age": 86400,
}
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def create_app(settings: Settings) -> Starlette:
    connections = Connections()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with opened(settings) as context:
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
        middleware=[Middleware(Requests), Middleware(CORSMiddleware, **ANY_ORIGIN), Middleware(BodyLimit)],
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
        log.warning("health.database", error=str(error) or type(error).__name__)
    fine = all(checks.values())
    if fine:
        # Whoever asked knows now that this process serves: time for what only replies need.
        context.agents.preload()
    return JSONResponse({"status": "ok" if fine else "unavailable", "checks": checks}, 200 if fine else 503)


class Requests:
    """Gives every request an id (the caller's own where it is sane), on its reply and in every line of the log.

    On a reply to a caller whom an edge has let in, or refused for spending too much, also what they have left.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if SANE_ID.fullmatch(given) else str(new_id())
        status, started = 0, time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.accept"}:
                status = message.get("status", 101)
                MutableHeaders(scope=message).update({"X-Request-Id": request_id, **allowance(scope)})
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, answer)
            finally:
                spent = round((time.perf_counter() - started) * 1000, 1)
                # Probes come every few seconds and say nothing.
                say = log.debug if scope["path"].startswith("/health/") else log.info
                say("request", method=scope.get("method", "WS"), path=scope["path"], status=status, ms=spent)


def allowance(scope: Scope) -> dict[str, str]:
    meter: Meter | None = scope.get("state", {}).get("meter")
    if meter is None or meter.allowance is None:
        return {}
    return {name: str(value) for name, value in zip(ALLOWANCE, astuple(meter.allowance), strict=True)}


class BodyLimit:
    """Stops reading a body beyond MAX_BODY; the edge that was reading renders the refusal. Uploads bound themselves."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or rest_compat.is_upload(scope):
            await self.app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        announced = int(length[:20]) if length.isdigit() else 0
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive() if announced <= MAX_BODY else {}
            read += len(message.get("body", b""))
            if max(announced, read) > MAX_BODY:
                raise Problem(ErrorCode.PAYLOAD_TOO_LARGE, f"The request body is larger than {MAX_BODY} bytes.")
            return message

        await self.app(scope, limited, send)
