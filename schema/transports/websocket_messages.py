"""The messages of graphql-transport-ws as a client sends them, and the codes that a connection is closed with."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import orjson
from starlette.types import Message as Received

from schema.transports.requests import ANONYMOUS_MAX_BODY_BYTES, TOO_MANY_ITEMS, has_too_many_items

MAX_ID = 1_000
"""Characters of an operation's id."""


class Close(IntEnum):
    """Those from 4400 are the protocol's own, but SILENT, which is what its clients close with themselves."""

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


class Refusal(Exception):  # noqa: N818 (it ends a connection, as it should)
    """Ends the connection with a code and a reason that the client may read."""

    def __init__(self, code: Close, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is empty where the type has none."""

    type: str
    id: str
    payload: Any


NAMED = {"subscribe", "complete"}
KNOWN = {"connection_init", "ping", "pong", *NAMED}


def read_message(received: Received, *, known: bool) -> Message:
    """Raises Refusal for what the protocol does not know, and for what is too large. `known`: who sends it is."""
    text = received.get("text")
    if text is None:
        raise malformed("messages are text, not binary")
    body = text.encode()
    if not known and len(body) > ANONYMOUS_MAX_BODY_BYTES:
        raise Refusal(Close.TOO_LARGE, f"Before connection_ack a message has at most {ANONYMOUS_MAX_BODY_BYTES} bytes")
    if has_too_many_items(body):
        raise Refusal(Close.TOO_LARGE, TOO_MANY_ITEMS)
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise malformed("it is not JSON") from None
    if not isinstance(message, dict):
        raise malformed("it is not a JSON object")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in KNOWN:
        raise malformed("there is no such type")
    return Message(kind, _id(message) if kind in NAMED else "", _payload(message, kind))


def _id(message: dict[str, Any]) -> str:
    ident = message.get("id")
    if not isinstance(ident, str) or not 1 <= len(ident) <= MAX_ID:
        raise malformed(f"the id must be a string of 1 to {MAX_ID} characters")
    return ident


def _payload(message: dict[str, Any], kind: str) -> Any:
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise malformed("the payload must be a JSON object")
    if kind == "subscribe" and payload is None:
        raise malformed("the payload is missing")
    return payload


def malformed(why: str) -> Refusal:
    return Refusal(Close.MALFORMED, f"Invalid message received: {why}")
