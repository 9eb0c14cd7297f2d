"""What OpenAPI tells of headers, and of who may call: the parts that no model holds."""

from typing import Any

from resolvers.core.idempotency import LONGEST

Json = dict[str, Any]

CREDENTIALS: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a user's access token (JWT)."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key. Bearer wins."},
}


def _told(description: str, **schema: Any) -> Json:
    return {"description": description, "schema": {"type": "string", **schema}}


def _sent(name: str, description: str, **schema: Any) -> Json:
    return {"name": name, "in": "header", **_told(description, **schema)}


PARAMETERS: Json = {
    "Workspace": _sent("X-Workspace-Id", "Picks one of a user's workspaces.", format="uuid"),
    "IdempotencyKey": _sent(
        "Idempotency-Key",
        "Makes a repeat within 24 hours answer with what the first made.",
        minLength=1,
        maxLength=LONGEST,
    ),
    "IfNoneMatch": _sent("If-None-Match", "The ETags that the caller has, or `*`: 304 where one of them still holds."),
    "IfMatch": _sent(
        "If-Match",
        'The revision that the caller has seen (`"7"`, or an ETag that begins with it): 409 where it is not the last.',
        pattern=r'^(\*|(W/)?"[0-9]{1,18}(-[0-9a-f]{16})?")$',
    ),
    "LastEventId": _sent("Last-Event-ID", "The id of the last event that was seen.", pattern="^[0-9]{1,18}$"),
    "CaretSignature": _sent(
        "X-Caret-Signature",
        "HMAC-SHA256 of the body as it came, in lowercase hex; the key is the whole secret, `whsec_` included.",
        pattern="^[0-9a-f]{64}$",
    ),
    "WebhookId": _sent("webhook-id", "The `eventId`: the same on every attempt.", format="uuid"),
    "WebhookTimestamp": _sent("webhook-timestamp", "When it was sent, in Unix seconds.", pattern="^[0-9]+$"),
    "WebhookSignature": _sent(
        "webhook-signature",
        "As Standard Webhooks has it: `v1,` and base64 of the HMAC-SHA256 of `id.timestamp.body`, with the bytes that "
        "the rest of the secret stands for as the key; during a rotation one of each secret, with a space between.",
        pattern="^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=)*$",
    ),
}

REQUEST_ID = {"X-Request-Id": "RequestId"}
RATE = {"X-RateLimit-Limit": "RateLimit", "X-RateLimit-Remaining": "RateRemaining", "X-RateLimit-Reset": "RateReset"}
ETAG = {"ETag": "ETag"}
WAIT = {"Retry-After": "RetryAfter"}
REFUSED = {401: {"WWW-Authenticate": "Authenticate"}, 429: WAIT, 503: WAIT}
"""Headers of refusals, by status."""

HEADERS: Json = {
    "RequestId": _told("The caller's own X-Request-Id where it is sane, else one made here. The log has it too."),
    "ETag": _told("The revision where there is one, and a digest of all that is shown."),
    "RetryAfter": _told("Seconds to wait.", pattern="^[0-9]+$"),
    "Authenticate": _told("`Bearer`"),
    "RateLimit": _told("Requests a minute that the workspace's plan allows.", pattern="^[0-9]+$"),
    "RateRemaining": _told("Requests that are left of them.", pattern="^[0-9]+$"),
    "RateReset": _told("When they are all there again, in Unix seconds.", pattern="^[0-9]+$"),
}


def shown(*names: dict[str, str]) -> Json:
    """The headers of an answer, as references to what is told of them."""
    return {name: {"$ref": f"#/components/headers/{part}"} for some in names for name, part in some.items()}


def taken(*names: str) -> list[Json]:
    """Headers of a request, as references likewise."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]
