"""An operation: the endpoint function of one method of a route, with its status, body, query and return type.

An endpoint is `async (call, body: Model, query: Model) -> Shape`, with `body` and `query` only where it reads them. The
model that validates a request is thereby the one that OpenAPI describes. An endpoint returns a TypedDict of
`rest_compat.shapes` or `rest_compat.ai_shapes`, None for an empty response, or a Response.
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
ReadRevision = Callable[[Any], int]
"""Reads the revision of a resource from the content of its response."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route.

    `has_etag`: the response has an ETag. `is_idempotent`: an Idempotency-Key makes a repeat safe. `raw_body`: the media
    type of a body that the endpoint reads itself. `more_errors`: statuses of errors that `rest_compat.openapi.errors`
    can't derive from the rest.
    """

    endpoint: Endpoint
    status: int
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    returns: Any
    has_etag: bool = False
    is_idempotent: bool = False
    read_revision: ReadRevision | None = None
    raw_body: str | None = None
    more_errors: Collection[int] = ()

    async def __call__(self, call: Call) -> Response:
        arguments: dict[str, Any] = {}
        if self.query is not None:
            arguments["query"] = call.parse_query(self.query)
        if self.body is not None:
            arguments["body"] = call.parse_body(self.body)
        result = await self.endpoint(call, **arguments)
        if isinstance(result, Response):
            return result
        if result is None:
            return Response(status_code=self.status)
        # orjson does not know asyncpg's own UUID class.
        content = orjson.dumps(result, default=str)
        if not self.has_etag:
            return Response(content, self.status, media_type="application/json")
        return response_with_etag(call.request, content, self.status, self.read_revision and self.read_revision(result))


def operation(endpoint: Endpoint, status: int, **more: Any) -> Operation:
    """The operation of an endpoint, whose signature says what it reads and returns."""
    signature = inspect.signature(endpoint, eval_str=True)
    types = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    return Operation(endpoint, status, types.get("body"), types.get("query"), signature.return_annotation, **more)


def list_operation(endpoint: Endpoint) -> Operation:
    """GET of a list, or of anything else without an ETag."""
    return operation(endpoint, 200)


def get_operation(endpoint: Endpoint, read_revision: ReadRevision | None = None) -> Operation:
    """GET of a single resource with an ETag: 304 for a caller that has it already."""
    return operation(endpoint, 200, has_etag=True, read_revision=read_revision)


def create_operation(
    endpoint: Endpoint, read_revision: ReadRevision | None = None, *, more_errors: Collection[int] = ()
) -> Operation:
    """POST that creates a resource with an ETag."""
    return operation(
        endpoint, 201, has_etag=True, is_idempotent=True, read_revision=read_revision, more_errors=more_errors
    )


def action_operation(
    endpoint: Endpoint,
    status: int = 200,
    *,
    is_idempotent: bool = False,
    raw_body: str | None = None,
    more_errors: Collection[int] = (),
) -> Operation:
    """Any other POST, PUT or PATCH; with status 201, a POST that creates a resource without an ETag."""
    is_idempotent = is_idempotent or status == 201
    return operation(endpoint, status, is_idempotent=is_idempotent, raw_body=raw_body, more_errors=more_errors)


def update_operation(endpoint: Endpoint, read_revision: ReadRevision | None = None) -> Operation:
    """PATCH of a resource with an ETag."""
    return operation(endpoint, 200, has_etag=True, read_revision=read_revision)


def delete_operation(endpoint: Endpoint, status: int = 200, *, more_errors: Collection[int] = ()) -> Operation:
    """DELETE."""
    return operation(endpoint, status, more_errors=more_errors)


def response_with_etag(request: Request, content: bytes, status: int, revision: int | None) -> Response:
    """The response with its ETag (RFC 9110): the revision, where there is one, and a digest of the content.

    The revision alone is not enough: a note also contains the names of its tags, which change without it.
    """
    digest = sha256(content).hexdigest()[:16]
    etag = f'"{digest}"' if revision is None else f'"{revision}-{digest}"'
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    if request.method in {"GET", "HEAD"} and (etag in known or "*" in known):
        return Response(status_code=304, headers={"ETag": etag})
    return Response(content, status, {"ETag": etag}, media_type="application/json")
