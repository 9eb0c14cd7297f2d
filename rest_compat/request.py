"""A request as an endpoint receives it, and how its parts are read."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from models.base import as_id
from resolvers.auth.credentials import authenticate
from resolvers.core.allowance import Meter
from resolvers.core.context import Context
from resolvers.core.errors import not_found
from rest_compat.errors import MAX_ECHOED_CHARACTERS, RestError, input_error, validation_error
from streaming.connections import Connections

METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """A request with the context of its caller. `body` is well-formed JSON, or None for an empty body."""

    request: Request
    ctx: Context
    body: bytes | None = None

    def parse_body(self, model: type[Model]) -> Model:
        """The body as a `model`, whose fields have the names of the API only."""
        if self.body is None:
            raise input_error("missing", ("body",), "A JSON body is required.")
        try:
            return model.model_validate_json(self.body, by_alias=True, by_name=False)
        except ValidationError as error:
            raise validation_error("body", error) from None

    def parse_query(self, model: type[Model]) -> Model:
        """The query parameters as a `model`. If a parameter is repeated, the last value wins."""
        try:
            return model.model_validate(dict(self.request.query_params), by_alias=True, by_name=False)
        except ValidationError as error:
            raise validation_error("query", error) from None

    @property
    def idempotency_key(self) -> str | None:
        return self.request.headers.get("Idempotency-Key")

    @contextmanager
    def counted_connection(self) -> Iterator[ExitStack]:
        """Counts the response as one of the caller's open connections. Raises RATE_LIMITED if there are too many.

        A streaming response takes the count over with `pop_all()` and exits that when it ends.
        """
        connections: Connections = self.request.state.connections
        with ExitStack() as counted:
            counted.enter_context(connections.open(self.ctx))
            yield counted

    def path_id(self, noun: str, parameter: str = "id") -> UUID:
        """The id in a parameter of the path. Raises NOT_FOUND for a text that can't be an id."""
        text: str = self.request.path_params[parameter]
        path_id = as_id(text)
        if path_id is None:
            raise not_found(noun, text[:MAX_ECHOED_CHARACTERS])
        return path_id


async def read_json_body(request: Request) -> bytes | None:
    """The body of a request, checked to be well-formed JSON; None when it is empty.

    The body of a DELETE is not checked: only a few endpoints read one, and the others ignore it.
    """
    if request.method == "DELETE":
        return await request.body() or None
    body = await request.body() if request.method in METHODS_WITH_BODY else b""
    if not body:
        return None
    try:
        # pydantic's own parser accepts NaN, and numbers that no double holds.
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise input_error("json_invalid", ("body",), f"The body is not valid JSON: {error.msg}.", {}) from None
    return body


def bearer_token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def authenticated_context(request: Request, credential: str | None, workspace_id: UUID | None = None) -> Context:
    """The process's context with the viewer of the credential."""
    if credential is None:
        raise RestError(
            401, "missing_api_key", "Authentication is required: send Authorization: Bearer <key or token>."
        )
    ctx: Context = request.state.context
    # The web server reads the meter for the rate limit headers, also when the request fails.
    meter = request.state.meter = Meter()
    return ctx.for_viewer(await authenticate(ctx, credential, workspace_id, meter=meter), meter)


def json_response(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # orjson does not know asyncpg's own UUID class.
    return Response(orjson.dumps(content, default=str), status, headers, media_type="application/json")
