"""Whether who opened a socket may still act: a socket outlives keys and memberships."""

from collections.abc import AsyncIterator

from strawberry.extensions import SchemaExtension

from resolvers.auth.credentials import refresh_viewer
from schema.types.base import Request


class Standing(SchemaExtension):
    """Looks again before each operation of a socket; a request by HTTP has just been authenticated."""

    async def on_operation(self) -> AsyncIterator[None]:
        request: Request = self.execution_context.context
        if request.connection_params is not None:
            async with request.ctx.read() as tx:
                await refresh_viewer(tx, request.ctx.viewer)
        yield
