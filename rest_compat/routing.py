"""Routes of an API family: each path has one operation per HTTP method."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from rest_compat.errors import RestError
from rest_compat.operations import Operation
from rest_compat.request import Call


@dataclass(frozen=True, slots=True)
class ApiFamily:
    """The conventions of `/v1` or of `/api/v1/ai`.

    `read_call` reads and authenticates a request. `render_error` turns any exception into a response.
    """

    read_call: Callable[[Request], Awaitable[Call]]
    render_error: Callable[[Exception], Response]

    def route(self, path: str, **operations: Operation) -> Route:
        """A path with an operation for each method: `route("/notes", GET=list_operation(page))`."""
        return Route(path, Resource(self, operations))

    def not_found_route(self) -> Route:
        """The last route: it answers 404 at every path that no other route matches."""
        route = Route("/{path:path}", Resource(self, None))
        route.path_regex = across_lines(route.path_regex)
        return route


def mount(path: str, routes: Sequence[BaseRoute]) -> Mount:
    """The routes of a family below `path`."""
    mounted = Mount(path, routes=routes)
    mounted.path_regex = across_lines(mounted.path_regex)
    return mounted


def across_lines(path_regex: re.Pattern[str]) -> re.Pattern[str]:
    """The expression that also matches paths with line breaks, which Starlette would answer in a form of its own."""
    return re.compile(path_regex.pattern, re.DOTALL)


@dataclass(frozen=True, slots=True)
class Resource:
    """The ASGI application at one path. `operations` is None where nothing exists.

    It is an object, not a function, so that Starlette passes on every method.
    """

    family: ApiFamily
    operations: Mapping[str, Operation] | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            operation = self.operation(request.method)
            response = await operation(await self.family.read_call(request))
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 (`render_error` logs unexpected errors with their traceback)
            response = self.family.render_error(error)
        await response(scope, receive, send)

    def operation(self, method: str) -> Operation:
        """The operation of a method. Raises 404 or 405."""
        if self.operations is None:
            raise RestError(404, "resource_not_found", "Not Found")
        operation = self.operations.get("GET" if method == "HEAD" else method)
        if operation is None:
            allowed = ", ".join([*self.operations, "HEAD"] if "GET" in self.operations else self.operations)
            raise RestError(405, "method_not_allowed", "Method Not Allowed", more_headers={"Allow": allowed})
        return operation
