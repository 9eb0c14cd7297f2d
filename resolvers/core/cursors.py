"""Opaque cursors: positions in a list (the last row's sort key), in the event log and in a reply."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import orjson

from resolvers.core.errors import Problem, bad_input


def encode(kind: str, *position: Any) -> str:
    """A cursor of the given kind."""
    return urlsafe_b64encode(orjson.dumps([kind, *position])).decode().rstrip("=")


def decode(kind: str, cursor: str, *types: type, field: str = "after") -> list[Any]:
    """The position in a cursor of the given kind. Raises BAD_USER_INPUT if the kind or the parts' types differ."""
    try:
        parts = orjson.loads(urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except ValueError:
        raise invalid(field) from None
    if not isinstance(parts, list) or len(parts) != len(types) + 1 or parts[0] != kind:
        raise invalid(field)
    if any(type(part) is not expected for part, expected in zip(parts[1:], types, strict=True)):
        raise invalid(field)
    return parts[1:]


def invalid(field: str) -> Problem:
    return bad_input(field, "This cursor is not one that this field gave out.")
