"""GraphQL over HTTP and over WebSocket: Strawberry's view, with this house's context, limits and errors."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from cross_web import HTTPException
from graphql import GraphQLError
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from models.base import as_id
from resolvers.context import Context
from resolvers.errors import Code, Problem, bad_input
from resolvers.limits import Meter
from resolvers.viewers import authenticate
from schema import schema
from schema.masking import render
from schema.types import Request

INIT_TIMEOUT = timedelta(seconds=10)
"""How long a WebSocket may wait with its connection_init."""
MAX_OPERATIONS = 100
"""Operations that may run on one WebSocket at a time."""


CODES = {404: Code.NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED, 415: Code.UNSUPPORTED_MEDIA_TYPE}


class GraphQLEdge(GraphQL[Request, None]):
    """One endpoint: queries and mutations by POST (queries by GET too), everything over graphql-transport-ws."""

    def __init__(self) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=INIT_TIMEOUT,
            max_subscriptions_per_connection=MAX_OPERATIONS,
            # Safe for any page: a credential is one that the page must know, never a cookie that the browser adds.
            allowed_origins=["*"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        try:
            response = await self.run(HTTPRequest(scope, receive))
        except Problem as problem:
            # Refused before there was an operation: a bad credential, a body beyond the limit.
            response = refusal(problem)
        except HTTPException as error:
            response = refusal(Problem(CODES.get(error.status_code, Code.BAD_USER_INPUT), error.reason))
        await response(scope, receive, send)

    async def get_context(self, request: HTTPRequest | WebSocket, response: Response | WebSocket) -> Request:  # noqa: ARG002 (the base's signature)
        ctx: Context = request.state.context
        if isinstance(request, WebSocket):
            # Its credential may come with connection_init; until then nothing is asked.
            return Request(ctx, headers=request.headers)
        # Here the process finds what to tell in the headers of the reply, whatever becomes of the request.
        request.state.meter = Meter()
        return Request(await viewing(ctx, request.headers, request.state.meter))

    async def on_ws_connect(self, context: Request) -> Any:
        """A socket needs a viewer: from its headers, or from `connection_init`'s payload under the same names."""
        given = {str(name).lower(): value for name, value in (context.connection_params or {}).items()}
        headers = {**context.headers, **{name: value for name, value in given.items() if isinstance(value, str)}}
        try:
            context.ctx = await viewing(context.ctx, headers, Meter())
        except Problem as problem:
            raise ConnectionRejectionError from problem
        if context.ctx.viewer is None:
            raise ConnectionRejectionError
        return await super().on_ws_connect(context)

    def decode_json(self, data: str | bytes) -> object:
        # The standard library's parser overflows on deep nesting; this one refuses it.
        value = orjson.loads(data)
        if not isinstance(value, dict):
            raise orjson.JSONDecodeError("A JSON object is expected", "", 0)
        return value

    def encode_json(self, data: object) -> str:
        return orjson.dumps(data, default=str).decode()


async def viewing(ctx: Context, headers: Mapping[str, str], meter: Meter) -> Context:
    """The context with the viewer of the credential in the headers; without one it stays as it is."""
    credential = credential_in(headers)
    if credential is None:
        return ctx
    return ctx.acting_as(await authenticate(ctx, credential, workspace_in(headers), meter=meter), meter)


def credential_in(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key") or None


def workspace_in(headers: Mapping[str, str]) -> UUID | None:
    given = headers.get("x-workspace-id")
    if given is None:
        return None
    found = as_id(given)
    if found is None:
        raise bad_input("X-Workspace-Id", "This is not the id of a workspace.")
    return found


def refusal(problem: Problem) -> Response:
    error = render(GraphQLError(problem.message, original_error=problem))
    headers = {"WWW-Authenticate": "Bearer"} if problem.code is Code.UNAUTHENTICATED else {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return JSONResponse({"errors": [error.formatted]}, problem.code.status, headers)
