"""The `/api/v1/ai` family: snake_case, notes called documents, errors as FastAPI words them."""

from dataclasses import replace

from pydantic import ConfigDict
from pydantic.alias_generators import to_snake
from starlette.requests import Request
from starlette.responses import Response

from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from rest_compat.api import Family
from rest_compat.errors import Flaw, Refusal, refusal_of
from rest_compat.request import Call, acting, bearer, read_body, reply

BODY = ConfigDict(alias_generator=to_snake, extra="ignore", strict=False)
"""Makes a draft of the resolvers speak as this API does: unknown fields and "5" for 5 are let pass."""
# Where this API has another word for a resolver's field.
SPELLING = {"note_id": "document_id", "first": "top_k", "idempotency_key": "Idempotency-Key"}


async def enter(request: Request) -> Call:
    # The contract's order: a body that is no JSON is told before a missing credential.
    body = await read_body(request)
    return Call(request, await acting(request, bearer(request)), body)


async def enter_anyone(request: Request) -> Call:
    ctx: Context = request.state.context
    return Call(request, ctx)


def refuse(error: Exception) -> Response:
    refusal = refusal_of(reworded(error), lambda field: SPELLING.get(to_snake(field), to_snake(field)))
    told = {"error": refusal.message, "code": refusal.code}
    if refusal.status in {400, 422}:
        return reply({"detail": details(refusal), **told}, 422, refusal.headers)
    return reply({"detail": refusal.message, **told}, refusal.status, refusal.headers)


def reworded(error: Exception) -> Exception:
    """The same error about a document where it was about a note."""
    match error:
        case Problem(code=ErrorCode.NOT_FOUND, noun="Note"):
            return replace(error, message=f"Document {error.ident} not found.")
        case Problem(code=ErrorCode.FORBIDDEN, noun="Note"):
            return replace(error, message="You do not have access to this document.")
        case _:
            return error


def details(refusal: Refusal) -> list[dict[str, object]]:
    flaws = refusal.flaws or [Flaw("value_error", ("body",), refusal.message)]
    return [{"type": flaw.kind, "loc": flaw.where, "msg": flaw.text, "input": flaw.found} for flaw in flaws]


AI = Family(enter, refuse)
PUBLIC_AI = replace(AI, enter=enter_anyone)
