"""The error of a REST request, which each API family renders in its own form."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from pydantic import ValidationError

from models.limits import limit
from resolvers.core import drafts
from resolvers.core.errors import ErrorCode, Problem

log = structlog.get_logger()

MAX_INPUT_ERRORS = limit(
    100, "Errors in the input that one response lists", area="Requests", beyond="left out, and counted"
)
MAX_ECHOED_CHARACTERS = limit(
    100, "The caller's own text that an error repeats", area="Requests", beyond="cut", unit="characters"
)

STATUSES_AND_NAMES: Mapping[ErrorCode, tuple[int, str]] = {
    ErrorCode.BAD_USER_INPUT: (400, "invalid_parameter"),
    ErrorCode.QUERY_TOO_COMPLEX: (400, "query_too_complex"),
    ErrorCode.UNAUTHENTICATED: (401, "invalid_api_key"),
    ErrorCode.FORBIDDEN: (403, "forbidden"),
    ErrorCode.INSUFFICIENT_SCOPE: (403, "insufficient_scope"),
    ErrorCode.PLAN_REQUIRED: (403, "plan_required"),
    ErrorCode.NOT_FOUND: (404, "resource_not_found"),
    ErrorCode.ALREADY_EXISTS: (409, "already_exists"),
    ErrorCode.ALREADY_REPLYING: (409, "already_replying"),
    ErrorCode.CONFLICT: (409, "conflict"),
    ErrorCode.STALE_REVISION: (409, "stale_revision"),
    ErrorCode.CURSOR_EXPIRED: (410, "cursor_expired"),
    ErrorCode.PAYLOAD_TOO_LARGE: (413, "payload_too_large"),
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: (415, "unsupported_media_type"),
    ErrorCode.UNPROCESSABLE: (422, "unprocessable"),
    ErrorCode.RATE_LIMITED: (429, "rate_limit_exceeded"),
    ErrorCode.INTERNAL_SERVER_ERROR: (500, "internal_error"),
    ErrorCode.TRANSCRIBER_NOT_CONFIGURED: (503, "transcriber_not_configured"),
    ErrorCode.UNAVAILABLE: (503, "unavailable"),
}
"""The HTTP status and the name in the REST APIs for each code of the product."""
PROTOCOL_STATUSES = {"missing_api_key": 401, "method_not_allowed": 405}
"""The names, with their statuses, of the errors that only this edge raises: no resolver does."""


@dataclass(frozen=True, slots=True)
class InputError:
    """One error in the input. `location` begins with the part of the request: ("body", "tagIds", 0)."""

    kind: str
    location: tuple[str | int, ...]
    message: str
    value: Any = None

    @property
    def param(self) -> str:
        return ".".join(str(step) for step in self.location[1:])


@dataclass(eq=False)
class RestError(Exception):
    """An error with its HTTP status, its REST code and a message that is safe to show."""

    status: int
    code: str
    message: str
    input_errors: Sequence[InputError] = ()
    retry_after: int | None = None
    more_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        bearer = {"WWW-Authenticate": "Bearer"} if self.status == HTTPStatus.UNAUTHORIZED else {}
        retry = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return {**self.more_headers, **bearer, **retry}


def to_rest_error(error: Exception, api_name: Callable[[str], str] = str) -> RestError:
    """The error to render. `api_name` turns a resolver's field name into the API's.

    An unexpected exception is logged with its traceback and masked.
    """
    if isinstance(error, RestError):
        return error
    if not isinstance(error, Problem):
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        log.error("rest.failed", exc_info=error)
        return RestError(500, "internal_error", f"Internal server error. Quote request id {request_id}.")
    input_errors = (
        [] if error.field is None else [InputError("value_error", ("body", api_name(error.field)), error.message)]
    )
    status, name = STATUSES_AND_NAMES[ErrorCode(error.code)]
    return RestError(status, name, error.message, input_errors, error.retry_after)


def validation_error(part: str, error: ValidationError) -> RestError:
    """The error of a body or query that its model refuses. `part` is "body" or "query"."""
    input_errors = list(_input_errors(part, error))
    first = input_errors[0]
    message = f"{first.param}: {first.message}" if first.param else first.message
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return RestError(400, "invalid_parameter", message + more, input_errors)


def input_error(kind: str, location: tuple[str, ...], message: str, value: Any = None) -> RestError:
    return RestError(400, "invalid_parameter", message, [InputError(kind, location, message, value)])


def _input_errors(part: str, error: ValidationError) -> Iterator[InputError]:
    for detail in error.errors(include_url=False)[:MAX_INPUT_ERRORS]:
        # Query parameters are flat: an error within one is reported as an error of the whole parameter.
        steps = detail["loc"][:1] if part == "query" else detail["loc"]
        location = (step[:MAX_ECHOED_CHARACTERS] if isinstance(step, str) else step for step in steps)
        yield InputError(detail["type"], (part, *location), drafts.error_text(detail), shortened(detail["input"]))


def shortened(value: Any) -> Any:
    """A caller's value, or the beginning of a long one as text. The result can be serialized as JSON."""
    try:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
    except TypeError:  # It is nested too deep, or a number of more than 64 bits.
        return None
    return value if len(text) <= MAX_ECHOED_CHARACTERS else f"{text[:MAX_ECHOED_CHARACTERS]}…"
