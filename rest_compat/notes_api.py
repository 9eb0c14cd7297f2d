"""The `/v1` family: keys and tokens, camelCase, errors that both the documentation and the npm client can read."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from models.base import as_id
from rest_compat.api import Family
from rest_compat.errors import Refusal, bad, refusal_of
from rest_compat.request import WRITING, Call, acting, bearer, read_body, reply

TYPES = {
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
# Where this API has another word for a resolver's field.
SPELLING = {"createdFrom": "fromDate", "createdTo": "toDate", "idempotencyKey": "Idempotency-Key"}


async def enter(request: Request) -> Call:
    # A bearer token wins over a key in its own header.
    credential = bearer(request) or request.headers.get("X-API-Key") or None
    ctx = await acting(request, credential, workspace(request) if credential else None)
    return Call(request, ctx, await json_body(request))


def workspace(request: Request) -> UUID | None:
    text = request.headers.get("X-Workspace-Id")
    found = None if text is None else as_id(text)
    if text is not None and found is None:
        raise bad("uuid_parsing", ("header", "X-Workspace-Id"), "X-Workspace-Id must be the id of a workspace.")
    return found


async def json_body(request: Request) -> bytes | None:
    """The body; one that is said to be something else than JSON is refused. To say nothing is fine."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in {"", "application/json"} and request.method in WRITING and await request.body():
        raise Refusal(415, "unsupported_media_type", "The body must be application/json.")
    return await read_body(request)


def refuse(error: Exception) -> Response:
    refusal = refusal_of(error, lambda field: SPELLING.get(field, field))
    fields = {flaw.param: flaw.text for flaw in refusal.flaws if flaw.param}
    shown = {
        "code": refusal.code,
        "message": refusal.message,
        "type": TYPES.get(refusal.status, "invalid_request_error"),
        **({"param": next(iter(fields))} if fields else {}),
        **({} if refusal.retry_after is None else {"retry_after": refusal.retry_after}),
    }
    both = {"error": shown, "message": refusal.message, "code": refusal.code}
    return reply({**both, "errors": fields} if fields else both, refusal.status, refusal.headers)


V1 = Family(enter, refuse)
