"""The GraphQL endpoint: one address for every protocol that carries operations (see `schema.transports`)."""

from starlette.requests import Request as HTTPRequest
from starlette.types import Receive, Scope, Send

from schema.execution.request import Options
from schema.transports.http import HTTPTransport
from schema.transports.websocket import SocketTransport


class GraphQLEdge:
    """Make one per process. A request's state has the process's `context` and its `connections`."""

    def __init__(self, options: Options | None = None) -> None:
        options = options or Options()
        self._sockets = SocketTransport(options)
        self._http = HTTPTransport(options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._sockets(scope, receive, send)
            return
        response = await self._http.respond(HTTPRequest(scope, receive))
        await response(scope, receive, send)
