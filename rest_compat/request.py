"""One request as an endpoint sees it, and how its parts are read."""

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
from rest_compat.errors import LONGEST, Refusal, bad, invalid

WRITING = frozenset({"POST", "PUT", "PATCH"})
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, and what they sent. `body` is well-formed JSON, None when there was none."""

    request: Request
    ctx: Context
    body: bytes | None = None

    def sent(self, model: type[Model]) -> Model:
        """The body as a `model`, which speaks the caller's names only."""
        if self.body is None:
            raise bad("missing", ("body",), "A JSON body is required.")
        try:
            return model.model_validate_json(self.body, by_alias=True, by_name=False)
        except ValidationError as error:
            raise invalid("body", error) from None

    def asked(self, model: type[Model]) -> Model:
        """The query as a `model`; of a repeated parameter the last counts."""
        try:
            return model.model_validate(dict(self.request.query_params), by_alias=True, by_name=False)
        except ValidationError as error:
            raise invalid("query", error) from None

    @property
    def idempotency_key(self) -> str | None:
        return self.request.headers.get("Idempotency-Key")

    def ident(self, noun: str, name: str = "id") -> UUID:
        """The id at that place of the path. What can't be an id names nothing."""
        text: str = self.request.path_params[name]
        found = as_id(text)
        if found is None:
            raise not_found(noun, text[:LONGEST])
        return found


async def read_body(request: Request) -> bytes | None:
    """The body of a request that writes, known to be well-formed JSON; None when it is empty."""
    if request.method == "DELETE":
        # Few have a body: what the others come with is nobody's business.
        return await request.body() or None
    body = await request.body() if request.method in WRITING else b""
    if not body:
        return None
    try:
        # pydantic's own parser lets NaN pass and numbers that no double holds.
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad("json_invalid", ("body",), f"The body is not valid JSON: {error.msg}.", {}) from None
    return body


def bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def acting(request: Request, credential: str | None, workspace_id: UUID | None = None) -> Context:
    """The process's context, acting for whom the credential stands for."""
    if credential is None:
        raise Refusal(401, "missing_api_key", "Authentication is required: send Authorization: Bearer <key or token>.")
    ctx: Context = request.state.context
    # Here the process finds what to tell in the headers of the reply, whatever becomes of the request.
    meter = request.state.meter = Meter()
    return ctx.for_viewer(await authenticate(ctx, credential, workspace_id, meter=meter), meter)


def reply(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # asyncpg has a UUID class of its own, which orjson does not know.
    return Response(orjson.dumps(content, default=str), status, headers, media_type="application/json")
