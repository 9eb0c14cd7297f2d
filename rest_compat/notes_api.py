"""The `/v1` family: API keys and tokens, camelCase, errors that its documentation and its npm client can read."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from models.base import as_id
from rest_compat.errors import RestError, input_error, to_rest_error
from rest_compat.request import (
    METHODS_WITH_BODY,
    Call,
    authenticated_context,
    bearer_token,
    json_response,
    read_json_body,
)
from rest_compat.routing import ApiFamily

ERROR_TYPES = {
    400: "validation_error",
    401: "authentication_error",
    403: "permission_error",
    404: "resource_error",
    409: "conflict_error",
    422: "validation_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
}
# The names of fields that this API calls something else than the resolvers.
FIELD_NAMES = {"createdFrom": "fromDate", "createdTo": "toDate", "idempotencyKey": "Idempotency-Key"}


async def read_call(request: Request) -> Call:
    # A bearer token has precedence over X-API-Key.
    credential = bearer_token(request) or request.headers.get("X-API-Key") or None
    ctx = await authenticated_context(request, credential, workspace_id(request) if credential else None)
    return Call(request, ctx, await json_body(request))


def workspace_id(request: Request) -> UUID | None:
    """The workspace of X-Workspace-Id."""
    text = request.headers.get("X-Workspace-Id")
    workspace_id = None if text is None else as_id(text)
    if text is not None and workspace_id is None:
        raise input_error("uuid_parsing", ("header", "X-Workspace-Id"), "X-Workspace-Id must be the id of a workspace.")
    return workspace_id


async def json_body(request: Request) -> bytes | None:
    """The body. A Content-Type other than JSON is refused; none is accepted."""
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_json = media_type in {"", "application/json"}
    if not is_json and request.method in METHODS_WITH_BODY and await request.body():
        raise RestError(415, "unsupported_media_type", "The body must be application/json.")
    return await read_json_body(request)


def render_error(error: Exception) -> Response:
    rest_error = to_rest_error(error, lambda name: FIELD_NAMES.get(name, name))
    fields = {one.param: one.message for one in rest_error.input_errors if one.param}
    documented = {
        "code": rest_error.code,
        "message": rest_error.message,
        "type": ERROR_TYPES.get(rest_error.status, "invalid_request_error"),
        **({"param": next(iter(fields))} if fields else {}),
        **({} if rest_error.retry_after is None else {"retry_after": rest_error.retry_after}),
    }
    content = {"error": documented, "message": rest_error.message, "code": rest_error.code}
    return json_response({**content, "errors": fields} if fields else content, rest_error.status, rest_error.headers)


V1 = ApiFamily(read_call, render_error)
