"""GraphQL over HTTP, to the letter of its specification of September 2026 (http-spec.graphql.org).

What is refused before there is an operation has the status of its problem. What comes of an operation is 200 in
application/json; in application/graphql-response+json it is 200, 294 (Partial Success) where fields failed, and
otherwise the status of what it was refused for.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import PlainTextResponse, Response
from strawberry.types.graphql import OperationType

from resolvers.core.allowance import Meter
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from schema.execution.operation import OperationRequest
from schema.execution.request import Options, Request
from schema.execution.run import ALL_OPERATION_TYPES, OperationResult, SubscriptionStream, refused, run
from schema.transports import multipart, sse
from schema.transports.credentials import Connections, viewing
from schema.transports.media_types import GRAPHQL, JSON, SSE, Accepted, negotiate, read_media
from schema.transports.requests import (
    ANONYMOUS_MAX_BODY_BYTES,
    PARAMETERS,
    check_parameters,
    read_json,
    read_operation,
    read_parameters,
)
from schema.transports.sse_single_connection import TOKEN, StreamReservations, start
from schema.transports.streaming import Streamed

METHODS = "GET, POST, PUT, DELETE"
PARTIAL_SUCCESS = 294
MISSENT = {ErrorCode.METHOD_NOT_ALLOWED.name, ErrorCode.NOT_ACCEPTABLE.name}
"""Refused for how an operation was sent, not for what it is: their status is the same in every media type."""


@dataclass(frozen=True)
class Server:
    """What the requests of one process share."""

    options: Options
    connections: Connections
    reservations: StreamReservations = field(default_factory=StreamReservations)


async def respond(http: HTTPRequest, server: Server) -> Response:
    accepted = negotiate(http.headers.get("accept"))
    try:
        return await _handled(http, server, accepted)
    except Problem as problem:
        return _written(refused(problem), accepted.answer or JSON, problem.code.status)
    except ClientDisconnect:
        # Nobody hears this.
        return Response(status_code=400)


async def _handled(http: HTTPRequest, server: Server, accepted: Accepted) -> Response:
    ctx: Context = http.state.context
    # Here the process finds what to tell in the headers of the reply, whatever becomes of the request.
    http.state.meter = Meter()
    request = Request(
        await viewing(ctx, http.headers, http.state.meter),
        options=server.options,
        resume_after=http.headers.get("last-event-id") or None,
    )
    if http.method not in METHODS.split(", "):
        answer = refused(Problem(ErrorCode.METHOD_NOT_ALLOWED, f"This address takes {METHODS}."))
        return _written(answer, JSON, answer.status, Allow=METHODS)
    check_parameters(http.scope["query_string"])
    token = http.headers.get(TOKEN) or http.query_params.get("token")
    if http.method in {"PUT", "DELETE"} or token is not None:
        return await _on_one_stream(http, request, server, token or "", accepted)
    if accepted == Accepted(None, None):
        raise Problem(ErrorCode.NOT_ACCEPTABLE, f"Accept {JSON}, {GRAPHQL}, {SSE} or {multipart.CONTENT_TYPE}.")
    operation = await _operation(http, request.ctx)
    with ExitStack() as counted:

        def admit() -> None:
            if request.ctx.caller is not None:
                counted.enter_context(server.connections.counted(request.ctx))

        found = await run(operation, request, allowed=_allowed(http, accepted), admit=admit)
        return _response(found, request.ctx, accepted, counted)


def _allowed(http: HTTPRequest, accepted: Accepted) -> set[OperationType]:
    allowed = {OperationType.QUERY}
    if http.method != "GET":
        allowed.add(OperationType.MUTATION)
    if accepted.stream is not None:
        allowed.add(OperationType.SUBSCRIPTION)
    return allowed


async def _operation(http: HTTPRequest, ctx: Context) -> OperationRequest:
    if http.method == "GET":
        return read_parameters({name: http.query_params.getlist(name) for name in PARAMETERS})
    media = read_media(http.headers.get("content-type", ""))
    if media.type != JSON or not media.is_utf8:
        raise Problem(ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"Send the operation as {JSON}, in UTF-8.")
    return read_operation(read_json(await (http.body() if ctx.caller is not None else _strangers_body(http))))


async def _strangers_body(http: HTTPRequest) -> bytes:
    body = b""
    async for chunk in http.stream():
        body += chunk
        if len(body) > ANONYMOUS_MAX_BODY_BYTES:
            text = f"Without a credential a request body has at most {ANONYMOUS_MAX_BODY_BYTES} bytes."
            raise Problem(ErrorCode.PAYLOAD_TOO_LARGE, text)
    return body


def _response(
    found: OperationResult | SubscriptionStream, ctx: Context, accepted: Accepted, counted: ExitStack
) -> Response:
    """The response; a stream takes along how it was `counted`."""
    if isinstance(found, OperationResult) and (accepted.answer or _code(found) in MISSENT):
        media = accepted.answer or JSON
        return _written(found, media, _status(found, media))
    patience = ctx.limits.stall_timeout_seconds
    streamed: Streamed = (sse if accepted.stream == SSE else multipart).streamed(found, ctx.caller, patience)
    if isinstance(found, SubscriptionStream):
        streamed.closing.enter_context(counted.pop_all())
        streamed.closing.push_async_callback(found.aclose)
    return streamed


def _status(answer: OperationResult, media: str) -> int:
    if answer.executed:
        return PARTIAL_SUCCESS if media == GRAPHQL and "errors" in answer.payload else 200
    return answer.status if media == GRAPHQL or _code(answer) in MISSENT else 200


def _code(answer: OperationResult) -> str | None:
    return None if answer.executed else str(answer.payload["errors"][0]["extensions"]["code"])


def _written(answer: OperationResult, media: str, status: int, **more: str) -> Response:
    headers = {"Content-Type": f"{media}; charset=utf-8"}
    if status >= 400:
        headers |= _hints(answer.payload["errors"][0]["extensions"])
    if _code(answer) == ErrorCode.PERSISTED_QUERY_NOT_FOUND.name:
        # The same request will find it soon.
        headers["Cache-Control"] = "private, no-cache, must-revalidate"
    return Response(answer.body, status, headers | more)


def _hints(extensions: dict[str, Any]) -> dict[str, str]:
    """The headers that go with the status of a refusal."""
    hints = {}
    if extensions["status"] == ErrorCode.UNAUTHENTICATED.status:
        hints["WWW-Authenticate"] = "Bearer"
    if extensions["status"] == ErrorCode.METHOD_NOT_ALLOWED.status:
        hints["Allow"] = "POST"
    if "retryAfter" in extensions:
        hints["Retry-After"] = str(extensions["retryAfter"])
    return hints


async def _on_one_stream(
    http: HTTPRequest, request: Request, server: Server, token: str, accepted: Accepted
) -> Response:
    """Whatever has to do with a stream that carries many operations."""
    reservations = server.reservations
    if http.method == "PUT":
        return PlainTextResponse(reservations.make(request.ctx), 201)
    if accepted.answer is None and accepted.stream == SSE and http.method != "DELETE":
        with ExitStack() as counted:
            counted.enter_context(server.connections.counted(request.ctx))
            streamed = reservations.claim(request.ctx, token)
            streamed.closing.enter_context(counted.pop_all())
        return streamed
    if http.method == "DELETE":
        made = reservations.find(request.ctx, token)
        made.stop(http.query_params.get("operationId", ""))
        return Response(status_code=200)
    allowed = {OperationType.QUERY, OperationType.SUBSCRIPTION} if http.method == "GET" else ALL_OPERATION_TYPES
    operation = await _operation(http, request.ctx)
    answer = await start(reservations.find(request.ctx, token), operation, request, allowed)
    return Response(status_code=202) if answer is None else _written(answer, accepted.answer or JSON, answer.status)
