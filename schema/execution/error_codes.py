"""Error codes as GraphQL callers get them: `extensions.code`, and the HTTP status in `extensions.status`."""

from collections.abc import Mapping
from enum import StrEnum

from resolvers.core.errors import ErrorCode


class ProtocolErrorCode(StrEnum):
    """Codes for requests that do not follow the protocol: no resolver raises them."""

    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    PERSISTED_QUERY_ID_REQUIRED = "PERSISTED_QUERY_ID_REQUIRED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    PERSISTED_QUERY_NOT_IN_LIST = "PERSISTED_QUERY_NOT_IN_LIST"


HTTP_STATUSES: Mapping[StrEnum, int] = {
    # Apollo's clients require 200: only then do they send the query's text.
    ProtocolErrorCode.PERSISTED_QUERY_NOT_FOUND: 200,
    ErrorCode.BAD_USER_INPUT: 400,
    ErrorCode.QUERY_TOO_COMPLEX: 400,
    ProtocolErrorCode.PERSISTED_QUERY_ID_REQUIRED: 400,
    ProtocolErrorCode.PERSISTED_QUERY_NOT_IN_LIST: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.INSUFFICIENT_SCOPE: 403,
    ErrorCode.PLAN_REQUIRED: 403,
    ErrorCode.NOT_FOUND: 404,
    ProtocolErrorCode.METHOD_NOT_ALLOWED: 405,
    ProtocolErrorCode.NOT_ACCEPTABLE: 406,
    ErrorCode.ALREADY_EXISTS: 409,
    ErrorCode.ALREADY_REPLYING: 409,
    ErrorCode.CONFLICT: 409,
    ErrorCode.STALE_REVISION: 409,
    ErrorCode.CURSOR_EXPIRED: 410,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.UNPROCESSABLE: 422,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.INTERNAL_SERVER_ERROR: 500,
    ErrorCode.TRANSCRIBER_NOT_CONFIGURED: 503,
    ErrorCode.UNAVAILABLE: 503,
}
