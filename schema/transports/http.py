"""GraphQL over HTTP, following its specification of September 2026 (http-spec.graphql.org).

A request that is refused before there is an operation gets the status of its problem. The result of an operation has
status 200 in application/json. In application/graphql-response+json the status is 200, or 294 (Partial Success) if
fields failed, or the status of the problem that the operation was refused for.
"""

from contextlib import ExitStack
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import PlainTextResponse, Response
from strawberry.types.graphql import OperationType

from resolvers.core.allowance import Meter
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from schema.execution.error_codes import HTTP_STATUSES, ProtocolErrorCode
from schema.execution.operation import OperationRequest
from schema.execution.request import Options, Request
from schema.transports import multipart, sse
from schema.transports.credentials import authenticated
from schema.transports.media_types import GRAPHQL, JSON, SSE, Accepted, negotiate, parse_media_type
from schema.transports.requests import (
    ANONYMOUS_MAX_BODY_BYTES,
    PARAMETERS,
    check_query_string,
    read_json,
    read_operation,
    read_parameters,
)
from schema.transports.run import ALL_OPERATION_TYPES, OperationResult, SubscriptionStream, refused, run
from schema.transports.sse_single_connection import TOKEN, StreamReservations, start
from streaming.connections import Connections
from streaming.response import StreamResponse

METHODS: Final = "GET, POST, PUT, DELETE"
PARTIAL_SUCCESS: Final = 294
TRANSPORT_ERRORS: Final = {ProtocolErrorCode.METHOD_NOT_ALLOWED.value, ProtocolErrorCode.NOT_ACCEPTABLE.value}
"""Refusals of how an operation was sent, not of the operation. Their status is the same in every media type."""


class HTTPTransport:
    """What answers every HTTP request of this process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._reservations = StreamReservations()

    async def respond(self, http: HTTPRequest) -> Response:
        accepted = negotiate(http.headers.get("accept"))
        try:
            return await self._handle(http, accepted)
        except Problem as problem:
            return _response(refused(problem), accepted.result or JSON, HTTP_STATUSES[problem.code])
        except ClientDisconnect:
            # The client does not receive this.
            return Response(status_code=400)

    async def _handle(self, http: HTTPRequest, accepted: Accepted) -> Response:
        ctx: Context = http.state.context
        # `caret.app` reads the allowance for the headers of the response from here, however the request ends.
        http.state.meter = Meter()
        request = Request(
            await authenticated(ctx, http.headers, http.state.meter),
            options=self._options,
            resume_after=http.headers.get("last-event-id") or None,
        )
        if http.method not in METHODS.split(", "):
            result = refused(Problem(ProtocolErrorCode.METHOD_NOT_ALLOWED, f"This address takes {METHODS}."))
            return _response(result, JSON, result.status, Allow=METHODS)
        check_query_string(http.scope["query_string"])
        token = http.headers.get(TOKEN) or http.query_params.get("token")
        if http.method in {"PUT", "DELETE"} or token is not None:
            return await self._handle_single_connection(http, request, token or "", accepted)
        if accepted == Accepted(None, None):
            text = f"Accept {JSON}, {GRAPHQL}, {SSE} or {multipart.CONTENT_TYPE}."
            raise Problem(ProtocolErrorCode.NOT_ACCEPTABLE, text)
        return await _execute(http, request, accepted)

    async def _handle_single_connection(
        self, http: HTTPRequest, request: Request, token: str, accepted: Accepted
    ) -> Response:
        """The requests of the single connection mode: for a reservation, its stream, and operations on the stream."""
        reservations = self._reservations
        if http.method == "PUT":
            return PlainTextResponse(reservations.create(request.ctx), 201)
        if accepted.result is None and accepted.stream == SSE and http.method != "DELETE":
            connections: Connections = http.state.connections
            with ExitStack() as counted:
                counted.enter_context(connections.open(request.ctx))
                stream = reservations.open(request.ctx, token)
                stream.closing.enter_context(counted.pop_all())
            return stream
        if http.method == "DELETE":
            reservations.get(request.ctx, token).stop(http.query_params.get("operationId", ""))
            return Response(status_code=200)
        allowed = {OperationType.QUERY, OperationType.SUBSCRIPTION} if http.method == "GET" else ALL_OPERATION_TYPES
        operation = await _read_operation(http, request.ctx)
        result = await start(reservations.get(request.ctx, token), operation, request, allowed)
        if result is None:
            return Response(status_code=202)
        return _response(result, accepted.result or JSON, result.status)


async def _execute(http: HTTPRequest, request: Request, accepted: Accepted) -> Response:
    operation = await _read_operation(http, request.ctx)
    connections: Connections = http.state.connections
    with ExitStack() as counted:

        def admit() -> None:
            if request.ctx.caller is not None:
                counted.enter_context(connections.open(request.ctx))

        outcome = await run(operation, request, allowed=_allowed_types(http, accepted), admit=admit)
        return _response_for(outcome, request.ctx, accepted, counted)


def _allowed_types(http: HTTPRequest, accepted: Accepted) -> set[OperationType]:
    allowed = {OperationType.QUERY}
    if http.method != "GET":
        allowed.add(OperationType.MUTATION)
    if accepted.stream is not None:
        allowed.add(OperationType.SUBSCRIPTION)
    return allowed


async def _read_operation(http: HTTPRequest, ctx: Context) -> OperationRequest:
    if http.method == "GET":
        return read_parameters({name: http.query_params.getlist(name) for name in PARAMETERS})
    media_type = parse_media_type(http.headers.get("content-type", ""))
    if media_type.type != JSON or not media_type.is_utf8:
        raise Problem(ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"Send the operation as {JSON}, in UTF-8.")
    return read_operation(read_json(await (http.body() if ctx.caller is not None else _anonymous_body(http))))


async def _anonymous_body(http: HTTPRequest) -> bytes:
    body = b""
    async for chunk in http.stream():
        body += chunk
        if len(body) > ANONYMOUS_MAX_BODY_BYTES:
            text = f"Without a credential a request body has at most {ANONYMOUS_MAX_BODY_BYTES} bytes."
            raise Problem(ErrorCode.PAYLOAD_TOO_LARGE, text)
    return body


def _response_for(
    outcome: OperationResult | SubscriptionStream, ctx: Context, accepted: Accepted, counted: ExitStack
) -> Response:
    """The response to an operation. A stream takes over `counted`, which counts it as a connection until it ends."""
    if isinstance(outcome, OperationResult) and (accepted.result or _code(outcome) in TRANSPORT_ERRORS):
        media = accepted.result or JSON
        return _response(outcome, media, _status(outcome, media))
    protocol = sse if accepted.stream == SSE else multipart
    stream: StreamResponse = protocol.stream_response(outcome, ctx.caller, ctx.limits.stall_timeout_seconds)
    if isinstance(outcome, SubscriptionStream):
        stream.closing.enter_context(counted.pop_all())
        stream.closing.push_async_callback(outcome.aclose)
    return stream


def _status(result: OperationResult, media: str) -> int:
    if result.executed:
        return PARTIAL_SUCCESS if media == GRAPHQL and "errors" in result.payload else 200
    return result.status if media == GRAPHQL or _code(result) in TRANSPORT_ERRORS else 200


def _code(result: OperationResult) -> str | None:
    return None if result.executed else str(result.payload["errors"][0]["extensions"]["code"])


def _response(result: OperationResult, media: str, status: int, **extra_headers: str) -> Response:
    headers = {"Content-Type": f"{media}; charset=utf-8"}
    if status >= 400:
        headers |= _error_headers(result.payload["errors"][0]["extensions"])
    if _code(result) == ProtocolErrorCode.PERSISTED_QUERY_NOT_FOUND.value:
        # The same request succeeds as soon as the client has sent the text.
        headers["Cache-Control"] = "private, no-cache, must-revalidate"
    return Response(result.body, status, headers | extra_headers)


def _error_headers(extensions: dict[str, Any]) -> dict[str, str]:
    """The headers that go with the status of a refusal."""
    headers = {}
    if extensions["status"] == HTTP_STATUSES[ErrorCode.UNAUTHENTICATED]:
        headers["WWW-Authenticate"] = "Bearer"
    if extensions["status"] == HTTP_STATUSES[ProtocolErrorCode.METHOD_NOT_ALLOWED]:
        headers["Allow"] = "POST"
    if "retryAfter" in extensions:
        headers["Retry-After"] = str(extensions["retryAfter"])
    return headers
