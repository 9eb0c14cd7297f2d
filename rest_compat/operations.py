"""What answers one method of a route: an endpoint, with what it takes and gives read off its signature.

An endpoint is `async (call, body: Model, query: Model) -> Shape`, each of the two where it is wanted. What validates a
request is thereby what OpenAPI tells of it; the shape that is returned is a TypedDict of `rest_compat.shapes`, None
where nothing is said, or a Response of the endpoint's own making.
"""

import inspect
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from rest_compat.request import Call

Endpoint = Callable[..., Awaitable[Any]]
Version = Callable[[Any], int]
"""The revision within an answer."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`tagged`: its answer has an ETag. `once`: it may be repeated safely with an Idempotency-Key.

    `takes`: the kind of body that it reads itself, which no model has. `refuses`: the statuses of refusals that
    `rest_compat.openapi.responses` can't tell from the rest of it.
    """

    endpoint: Endpoint
    status: int
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    answer: Any
    tagged: bool = False
    once: bool = False
    version: Version | None = None
    takes: str | None = None
    refuses: Collection[int] = ()

    async def __call__(self, call: Call) -> Response:
        given: dict[str, Any] = {}
        if self.query is not None:
            given["query"] = call.asked(self.query)
        if self.body is not None:
            given["body"] = call.sent(self.body)
        told = await self.endpoint(call, **given)
        if isinstance(told, Response):
            return told
        if told is None:
            return Response(status_code=self.status)
        # asyncpg has a UUID class of its own, which orjson does not know.
        content = orjson.dumps(told, default=str)
        if not self.tagged:
            return Response(content, self.status, media_type="application/json")
        return tagged(call.request, content, self.status, self.version and self.version(told))


def described(endpoint: Endpoint, status: int, **more: Any) -> Operation:
    signature = inspect.signature(endpoint, eval_str=True)
    taken = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    return Operation(endpoint, status, taken.get("body"), taken.get("query"), signature.return_annotation, **more)


def reads(endpoint: Endpoint) -> Operation:
    """GET of a list, or of something else that has no ETag."""
    return described(endpoint, 200)


def shows(endpoint: Endpoint, version: Version | None = None) -> Operation:
    """GET of a single resource: 304 for who has it already."""
    return described(endpoint, 200, tagged=True, version=version)


def makes(endpoint: Endpoint, version: Version | None = None, *, refuses: Collection[int] = ()) -> Operation:
    """POST that creates."""
    return described(endpoint, 201, tagged=True, once=True, version=version, refuses=refuses)


def does(
    endpoint: Endpoint,
    status: int = 200,
    *,
    once: bool = False,
    takes: str | None = None,
    refuses: Collection[int] = (),
) -> Operation:
    """POST that does something else than create, or (201) creates what has no ETag; or PUT. `once`: as for 201."""
    return described(endpoint, status, once=once or status == 201, takes=takes, refuses=refuses)


def changes(endpoint: Endpoint, version: Version | None = None) -> Operation:
    """PATCH."""
    return described(endpoint, 200, tagged=True, version=version)


def removes(endpoint: Endpoint, status: int = 200, *, refuses: Collection[int] = ()) -> Operation:
    """DELETE."""
    return described(endpoint, status, refuses=refuses)


def tagged(request: Request, content: bytes, status: int, revision: int | None) -> Response:
    """The answer with its ETag (RFC 9110): the revision, where there is one, and a digest of all that is shown.

    The revision alone would not do: a note also shows the names of its tags, which change without it.
    """
    digest = sha256(content).hexdigest()[:16]
    etag = f'"{digest}"' if revision is None else f'"{revision}-{digest}"'
    seen = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    if request.method in {"GET", "HEAD"} and (etag in seen or "*" in seen):
        return Response(status_code=304, headers={"ETag": etag})
    return Response(content, status, {"ETag": etag}, media_type="application/json")
