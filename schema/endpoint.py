"""The GraphQL endpoint: one address for every protocol that carries operations (see `schema.transports`)."""

from starlette.requests import Request as HTTPRequest
from starlette.types import Receive, Scope, Send

from schema.execution.request import Options
from schema.transports.credentials import Connections
from schema.transports.http import Server, respond
from schema.transports.websocket import SocketTransport


class GraphQLEdge:
    """Make one per process: it knows the connections of this process."""

    def __init__(self, options: Options | None = None) -> None:
        options, connections = options or Options(), Connections()
        self.sockets = SocketTransport(options, connections)
        self.server = Server(options, connections)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self.sockets(scope, receive, send)
            return
        response = await respond(HTTPRequest(scope, receive), self.server)
        await response(scope, receive, send)
