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

# The names of the REST contract where they differ from the code in lower case.
ERROR_NAMES = {
    ErrorCode.BAD_USER_INPUT: "invalid_parameter",
    ErrorCode.UNAUTHENTICATED: "invalid_api_key",
    ErrorCode.NOT_FOUND: "resource_not_found",
    ErrorCode.RATE_LIMITED: "rate_limit_exceeded",
    ErrorCode.INTERNAL_SERVER_ERROR: "internal_error",
}


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
    return RestError(error.code.status, error_name(error.code), error.message, input_errors, error.retry_after)


def error_name(code: ErrorCode) -> str:
    """The name of a code in the REST APIs."""
    return ERROR_NAMES.get(code, code.name.lower())


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
        yield InputError(detail["type"], (part, *location), drafts.message(detail), shortened(detail["input"]))


def shortened(value: Any) -> Any:
    """A caller's value, or the beginning of a long one as text. The result can be serialized as JSON."""
    try:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
    except TypeError:  # It is nested too deep, or a number of more than 64 bits.
        return None
    return value if len(text) <= MAX_ECHOED_CHARACTERS else f"{text[:MAX_ECHOED_CHARACTERS]}…"
