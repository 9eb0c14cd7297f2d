"""Refusals: one shape for everything that went wrong, which each API family renders in its own words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from pydantic import ValidationError

from resolvers.core import drafts
from resolvers.core.errors import ErrorCode, Problem

log = structlog.get_logger()

MAX_FLAWS = 100
"""Flaws of one request that are told; a body may have a hundred thousand."""
LONGEST = 100
"""Characters of a caller's own text that an answer repeats."""

# The REST contract's names where they are not the code's own in lower case.
NAMES = {
    ErrorCode.BAD_USER_INPUT: "invalid_parameter",
    ErrorCode.UNAUTHENTICATED: "invalid_api_key",
    ErrorCode.NOT_FOUND: "resource_not_found",
    ErrorCode.RATE_LIMITED: "rate_limit_exceeded",
    ErrorCode.INTERNAL_SERVER_ERROR: "internal_error",
}


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing wrong with the input. `where` begins with the part of the request: ("body", "tagIds", 0)."""

    kind: str
    where: tuple[str | int, ...]
    text: str
    found: Any = None

    @property
    def param(self) -> str:
        return ".".join(str(part) for part in self.where[1:])


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 (as Problem, which most of them come from)
    status: int
    code: str
    message: str
    flaws: Sequence[Flaw] = ()
    retry_after: int | None = None
    more_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        bearer = {"WWW-Authenticate": "Bearer"} if self.status == HTTPStatus.UNAUTHORIZED else {}
        wait = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return {**self.more_headers, **bearer, **wait}


def refusal_of(error: Exception, spelled: Callable[[str], str] = str) -> Refusal:
    """What the caller is told. `spelled` turns a resolver's name of a field into this API's.

    What is not a refusal is a fault of ours: it is logged and hidden.
    """
    if isinstance(error, Refusal):
        return error
    if not isinstance(error, Problem):
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        log.error("rest.failed", exc_info=error)
        return Refusal(500, "internal_error", f"Internal server error. Quote request id {request_id}.")
    where = () if error.field is None else (spelled(error.field),)
    flaws = [Flaw("value_error", ("body", *where), error.message)] if where else []
    return Refusal(error.code.status, name_of(error.code), error.message, flaws, error.retry_after)


def name_of(code: ErrorCode) -> str:
    """A code as REST callers know it."""
    return NAMES.get(code, code.name.lower())


def invalid(part: str, error: ValidationError) -> Refusal:
    """`part` of the request is not what its model asks for."""
    flaws = list(_flaws(part, error))
    first = flaws[0]
    message = f"{first.param}: {first.text}" if first.param else first.text
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return Refusal(400, "invalid_parameter", message + more, flaws)


def bad(kind: str, where: tuple[str, ...], text: str, found: Any = None) -> Refusal:
    return Refusal(400, "invalid_parameter", text, [Flaw(kind, where, text, found)])


def _flaws(part: str, error: ValidationError) -> Iterator[Flaw]:
    for detail in error.errors(include_url=False)[:MAX_FLAWS]:
        # A query's parameters are flat: what is wrong within one is wrong with it.
        steps = detail["loc"][:1] if part == "query" else detail["loc"]
        place = (step[:LONGEST] if isinstance(step, str) else step for step in steps)
        yield Flaw(detail["type"], (part, *place), drafts.message(detail), brief(detail["input"]))


def brief(value: Any) -> Any:
    """A caller's value if it is short, else its beginning; always something that JSON can hold."""
    try:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
    except TypeError:  # nested too deep, or a number beyond 64 bits
        return None
    return value if len(text) <= LONGEST else f"{text[:LONGEST]}…"
