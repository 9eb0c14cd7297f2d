"""The error that resolvers raise: a code and a text that is safe to show to anyone.

The codes know no protocol. Each edge maps them to its own terms: `schema.execution.error_codes`, `rest_compat.errors`.
"""

from dataclasses import dataclass
from enum import StrEnum


class ErrorCode(StrEnum):
    """Every code that the product itself raises. An edge may add codes of its protocol."""

    ALREADY_EXISTS = "ALREADY_EXISTS"
    ALREADY_REPLYING = "ALREADY_REPLYING"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    CONFLICT = "CONFLICT"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    FORBIDDEN = "FORBIDDEN"
    INSUFFICIENT_SCOPE = "INSUFFICIENT_SCOPE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"
    NOT_FOUND = "NOT_FOUND"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    PLAN_REQUIRED = "PLAN_REQUIRED"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    RATE_LIMITED = "RATE_LIMITED"
    STALE_REVISION = "STALE_REVISION"
    TRANSCRIBER_NOT_CONFIGURED = "TRANSCRIBER_NOT_CONFIGURED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    UNAVAILABLE = "UNAVAILABLE"
    UNPROCESSABLE = "UNPROCESSABLE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 (the field's name for it: RFC 9457, Problem Details)
    """A request that is refused. `message` is shown to the caller as it is; causes belong in the log.

    `code` is an ErrorCode, or a code that an edge adds. `field` names the input at fault as the caller spells it, if
    there is one. `retry_after` is in seconds. `noun` and `ident` identify a row that was not found: an edge may have
    another word for it.
    """

    code: StrEnum
    message: str
    field: str | None = None
    retry_after: int | None = None
    noun: str | None = None
    ident: object = None

    def __str__(self) -> str:
        return self.message


def not_found(noun: str, ident: object) -> Problem:
    return Problem(ErrorCode.NOT_FOUND, f"{noun} {ident} not found.", noun=noun, ident=ident)


def forbidden(noun: str) -> Problem:
    return Problem(ErrorCode.FORBIDDEN, f"You do not have access to this {noun.lower()}.", noun=noun)


def bad_input(field: str, message: str) -> Problem:
    return Problem(ErrorCode.BAD_USER_INPUT, message, field)
