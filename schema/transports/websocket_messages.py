"""The messages of graphql-transport-ws as a client sends them, and the codes that a connection is closed with."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import orjson
from starlette.types import Message

from models.limits import limit
from schema.transports.requests import ANONYMOUS_MAX_BODY_BYTES, TOO_MANY_ITEMS, has_too_many_items

MAX_OPERATION_ID_CHARACTERS = limit(
    1_000, "Id of an operation on a WebSocket or an event stream", area="Live", beyond="close 4400", unit="characters"
)


class Close(IntEnum):
    """Codes from 4400 are the protocol's own, except SILENT, which is what its clients close with themselves."""

    TOO_LARGE = 1009
    TRY_LATER = 1013
    MALFORMED = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL = 4406
    INIT_TIMEOUT = 4408
    EXISTS = 4409
    TOO_MANY = 4429
    SILENT = 4499


class SocketClosed(Exception):  # noqa: N818 (it is how a connection ends, not an error of the program)
    """Ends the connection with a code and a reason that the client may read."""

    def __init__(self, code: Close, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """`id` is empty for the types that have none."""

    type: str
    id: str
    payload: Any


TYPES_WITH_ID = {"subscribe", "complete"}
TYPES = {"connection_init", "ping", "pong", *TYPES_WITH_ID}


def read_message(received: Message, *, is_authenticated: bool) -> ClientMessage:
    """Raises SocketClosed for a message that the protocol does not have, and for one that is too large."""
    text = received.get("text")
    if text is None:
        raise malformed("messages are text, not binary")
    body = text.encode()
    if not is_authenticated and len(body) > ANONYMOUS_MAX_BODY_BYTES:
        reason = f"Before connection_ack a message has at most {ANONYMOUS_MAX_BODY_BYTES} bytes"
        raise SocketClosed(Close.TOO_LARGE, reason)
    if has_too_many_items(body):
        raise SocketClosed(Close.TOO_LARGE, TOO_MANY_ITEMS)
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise malformed("it is not JSON") from None
    if not isinstance(message, dict):
        raise malformed("it is not a JSON object")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise malformed("there is no such type")
    return ClientMessage(kind, _operation_id(message) if kind in TYPES_WITH_ID else "", _payload(message, kind))


def _operation_id(message: dict[str, Any]) -> str:
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not 1 <= len(operation_id) <= MAX_OPERATION_ID_CHARACTERS:
        raise malformed(f"the id must be a string of 1 to {MAX_OPERATION_ID_CHARACTERS} characters")
    return operation_id


def _payload(message: dict[str, Any], kind: str) -> Any:
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise malformed("the payload must be a JSON object")
    if kind == "subscribe" and payload is None:
        raise malformed("the payload is missing")
    return payload


def malformed(reason: str) -> SocketClosed:
    return SocketClosed(Close.MALFORMED, f"Invalid message received: {reason}")
