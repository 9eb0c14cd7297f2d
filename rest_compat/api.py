"""An API family: routes made of plain endpoints, which all let callers in and refuse them in the family's own way."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rest_compat.errors import Refusal
from rest_compat.operations import Operation
from rest_compat.request import Call


@dataclass(frozen=True, slots=True)
class Family:
    """`enter` reads and authenticates a request, `refuse` renders whatever went wrong with it."""

    enter: Callable[[Request], Awaitable[Call]]
    refuse: Callable[[Exception], Response]

    def route(self, path: str, **operations: Operation) -> Route:
        """A path and what answers each method: `route("/notes", GET=reads(page), POST=makes(create))`."""
        return Route(path, Resource(self, operations))

    def nothing_else(self) -> Route:
        """The last route: every path that no other took."""
        return Route("/{path:path}", Resource(self, None))


@dataclass(frozen=True, slots=True)
class Resource:
    """What answers at one path. An object and not a function: Starlette then leaves all methods to it."""

    family: Family
    operations: Mapping[str, Operation] | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            operation = self.operation(request.method)
            response = await operation(await self.family.enter(request))
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 (the one place that answers for it; `refuse` logs what is a fault)
            response = self.family.refuse(error)
        await response(scope, receive, send)

    def operation(self, method: str) -> Operation:
        if self.operations is None:
            raise Refusal(404, "resource_not_found", "Not Found")
        operation = self.operations.get("GET" if method == "HEAD" else method)
        if operation is None:
            allowed = ", ".join([*self.operations, "HEAD"] if "GET" in self.operations else self.operations)
            raise Refusal(405, "method_not_allowed", "Method Not Allowed", more_headers={"Allow": allowed})
        return operation
