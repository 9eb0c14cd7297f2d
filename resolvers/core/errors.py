"""The one error of the product: a code, its HTTP status, and a text that is safe to show to anyone."""

from dataclasses import dataclass
from enum import Enum


class ErrorCode(Enum):
    """Every code a caller can meet, with the HTTP status it travels under."""

    # Apollo's clients want 200 here: it is how they learn to send the text along.
    PERSISTED_QUERY_NOT_FOUND = 200
    BAD_USER_INPUT = 400
    UNAUTHENTICATED = 401
    FORBIDDEN = 403
    INSUFFICIENT_SCOPE = (403, 1)
    PLAN_REQUIRED = (403, 2)
    NOT_FOUND = 404
    METHOD_NOT_ALLOWED = 405
    NOT_ACCEPTABLE = 406
    CONFLICT = 409
    STALE_REVISION = (409, 1)
    ALREADY_REPLYING = (409, 2)
    ALREADY_EXISTS = (409, 3)
    CURSOR_EXPIRED = 410
    PAYLOAD_TOO_LARGE = 413
    UNSUPPORTED_MEDIA_TYPE = 415
    UNPROCESSABLE = 422
    RATE_LIMITED = 429
    QUERY_TOO_COMPLEX = (400, 1)
    PERSISTED_QUERY_ID_REQUIRED = (400, 2)
    PERSISTED_QUERY_NOT_IN_LIST = (400, 3)
    INTERNAL_SERVER_ERROR = 500
    UNAVAILABLE = 503
    TRANSCRIBER_NOT_CONFIGURED = (503, 1)

    @property
    def status(self) -> int:
        # Codes that share a status carry an ordinal: equal values would make them aliases of one member.
        return self.value if isinstance(self.value, int) else self.value[0]


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 (the field's name for it: RFC 9457, Problem Details)
    """A refusal. `message` is shown to the caller as it is; causes belong in the log.

    `field` names the offending input in the caller's own spelling where there is one, `retry_after` is in seconds,
    `noun` and `ident` say which row was missed (an API may have another word for it).
    """

    code: ErrorCode
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
