"""Whether the caller of a WebSocket may still act: a socket can outlive its key or membership."""

from collections.abc import AsyncIterator

from strawberry.extensions import SchemaExtension

from resolvers.auth.credentials import refresh_viewer
from schema.execution.request import Request


class Reauthorization(SchemaExtension):
    """Checks the caller again before each operation of a socket. An HTTP request has just been authenticated."""

    async def on_operation(self) -> AsyncIterator[None]:
        request: Request = self.execution_context.context
        if request.connection_params is not None:
            async with request.ctx.read() as tx:
                await refresh_viewer(tx, request.ctx.viewer)
        yield
