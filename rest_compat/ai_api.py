"""The `/api/v1/ai` family: snake_case, notes are called documents, errors have FastAPI's form."""

from dataclasses import replace

from pydantic import ConfigDict
from pydantic.alias_generators import to_snake
from starlette.requests import Request
from starlette.responses import Response

from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from rest_compat.errors import InputError, RestError, to_rest_error
from rest_compat.request import Call, authenticated_context, bearer_token, json_response, read_json_body
from rest_compat.routing import ApiFamily

BODY = ConfigDict(alias_generator=to_snake, extra="ignore", strict=False)
"""The configuration that turns a draft into a body of this API: unknown fields are ignored, and "5" is read as 5."""
# The names of fields that this API calls something else than the resolvers.
FIELD_NAMES = {"note_id": "document_id", "first": "top_k", "idempotency_key": "Idempotency-Key"}


async def read_call(request: Request) -> Call:
    # The contract's order: invalid JSON is reported before a missing credential.
    body = await read_json_body(request)
    return Call(request, await authenticated_context(request, bearer_token(request)), body)


async def read_public_call(request: Request) -> Call:
    ctx: Context = request.state.context
    return Call(request, ctx)


def render_error(error: Exception) -> Response:
    rest_error = to_rest_error(about_documents(error), lambda name: FIELD_NAMES.get(to_snake(name), to_snake(name)))
    content = {"error": rest_error.message, "code": rest_error.code}
    if rest_error.status in {400, 422}:
        return json_response({"detail": details(rest_error), **content}, 422, rest_error.headers)
    return json_response({"detail": rest_error.message, **content}, rest_error.status, rest_error.headers)


def about_documents(error: Exception) -> Exception:
    """The error with "document" in place of "note"."""
    match error:
        case Problem(code=ErrorCode.NOT_FOUND, noun="Note"):
            return replace(error, message=f"Document {error.ident} not found.")
        case Problem(code=ErrorCode.FORBIDDEN, noun="Note"):
            return replace(error, message="You do not have access to this document.")
        case _:
            return error


def details(error: RestError) -> list[dict[str, object]]:
    input_errors = error.input_errors or [InputError("value_error", ("body",), error.message)]
    return [{"type": one.kind, "loc": one.location, "msg": one.message, "input": one.value} for one in input_errors]


AI = ApiFamily(read_call, render_error)
PUBLIC_AI = replace(AI, read_call=read_public_call)
