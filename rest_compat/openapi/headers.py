"""The headers and the credentials of the OpenAPI document, which no model describes."""

from typing import Any

from resolvers.core.idempotency import MAX_KEY_CHARACTERS

Json = dict[str, Any]

CREDENTIALS: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a user's access token (JWT)."},
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "An API key. A bearer token has precedence.",
    },
}


def _described(description: str, **schema: Any) -> Json:
    return {"description": description, "schema": {"type": "string", **schema}}


def _request_header(name: str, description: str, **schema: Any) -> Json:
    return {"name": name, "in": "header", **_described(description, **schema)}


PARAMETERS: Json = {
    "Workspace": _request_header("X-Workspace-Id", "Chooses one of the workspaces of a user.", format="uuid"),
    "IdempotencyKey": _request_header(
        "Idempotency-Key",
        "A repeat with the same key within 24 hours returns what the first request created.",
        minLength=1,
        maxLength=MAX_KEY_CHARACTERS,
    ),
    "IfNoneMatch": _request_header(
        "If-None-Match", "The ETags that the caller has, or `*`: 304 if one of them is current."
    ),
    "IfMatch": _request_header(
        "If-Match",
        'The revision that the caller has (`"7"`, or an ETag that begins with it): 409 if it is not the current one.',
        pattern=r'^(\*|(W/)?"[0-9]{1,18}(-[0-9a-f]{16})?")$',
    ),
    "LastEventId": _request_header(
        "Last-Event-ID", "The id of the last event that the caller received.", pattern="^[0-9]{1,18}$"
    ),
    "CaretSignature": _request_header(
        "X-Caret-Signature",
        "HMAC-SHA256 of the raw body in lowercase hex. The key is the whole secret, `whsec_` included.",
        pattern="^[0-9a-f]{64}$",
    ),
    "WebhookId": _request_header("webhook-id", "The `eventId`, which is the same on every attempt.", format="uuid"),
    "WebhookTimestamp": _request_header(
        "webhook-timestamp", "When the attempt was sent, in Unix seconds.", pattern="^[0-9]+$"
    ),
    "WebhookSignature": _request_header(
        "webhook-signature",
        "As in Standard Webhooks: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. The key is the base64-"
        "decoded part of the secret after `whsec_`. After a rotation there is one signature per secret, with a space "
        "between them.",
        pattern="^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=)*$",
    ),
}

REQUEST_ID = {"X-Request-Id": "RequestId"}
RATE = {"X-RateLimit-Limit": "RateLimit", "X-RateLimit-Remaining": "RateRemaining", "X-RateLimit-Reset": "RateReset"}
ETAG = {"ETag": "ETag"}
WAIT = {"Retry-After": "RetryAfter"}
ERROR_HEADERS = {401: {"WWW-Authenticate": "Authenticate"}, 429: WAIT, 503: WAIT}
"""The headers of errors, by status."""

HEADERS: Json = {
    "RequestId": _described(
        "The X-Request-Id of the request where it is valid, otherwise a new one. The server's log has it too."
    ),
    "ETag": _described("The revision, where there is one, and a digest of the content."),
    "RetryAfter": _described("The number of seconds to wait.", pattern="^[0-9]+$"),
    "Authenticate": _described("`Bearer`"),
    "RateLimit": _described(
        "The points that the caller may spend in any 60 seconds, by the plan of the workspace.", pattern="^[0-9]+$"
    ),
    "RateRemaining": _described("The points that the caller has left. A request costs 1 point.", pattern="^[0-9]+$"),
    "RateReset": _described("When the caller has more points than now, in Unix seconds.", pattern="^[0-9]+$"),
}


def response_headers(*names: dict[str, str]) -> Json:
    """The headers of a response, as references to their descriptions."""
    return {name: {"$ref": f"#/components/headers/{part}"} for some in names for name, part in some.items()}


def request_headers(*names: str) -> list[Json]:
    """The headers of a request, as references to their descriptions."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]
