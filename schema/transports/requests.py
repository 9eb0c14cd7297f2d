"""A request for an operation, as every transport is sent it: in a JSON object, or in the parameters of an address."""

from collections.abc import Mapping
from typing import Any

import orjson

from resolvers.core.errors import ErrorCode, Problem, bad_input
from schema.execution.operation import OperationRequest

PARAMETERS = ("query", "variables", "operationName", "extensions", "documentId")
MAX_ADDRESS = 16 * 1024
"""Bytes of an address after its question mark. Each that is escaped takes time; most proxies let less pass."""
MAX_PARAMETERS = 100
MAX_ITEMS = 100_000
"""Commas in one request, those in texts aside: it has as many elements of lists and fields of objects, and some more.
A note of 10,000 segments has 50,000."""
ANONYMOUS_MAX_BODY_BYTES = 64 * 1024
"""Bytes of a request, or of a WebSocket's message, from whoever has not said who they are."""


def read_operation(body: object) -> OperationRequest:
    """The operation in the parsed body of a request, or in a socket's payload. Raises BAD_USER_INPUT."""
    if isinstance(body, list):
        raise bad_input("query", "Batching is off: send one operation, as a JSON object, per request.")
    if not isinstance(body, dict):
        raise bad_input("query", "A request is a JSON object with a query.")
    operation = OperationRequest(
        _text(body, "query"),
        _text(body, "operationName"),
        _object(body, "variables"),
        _object(body, "extensions"),
        _text(body, "documentId"),
    )
    if operation.query is None and operation.document_id is None and "persistedQuery" not in operation.extensions:
        raise bad_input("query", "The query is missing: send its text, or the documentId of a persisted one.")
    return operation


def check_parameters(text: bytes) -> None:
    """Raises BAD_USER_INPUT for parameters of an address that would take long to take apart."""
    if len(text) > MAX_ADDRESS:
        raise bad_input("query", f"The parameters of the address have more than {MAX_ADDRESS} bytes: send a POST.")
    if text.count(b"&") >= MAX_PARAMETERS:
        raise bad_input("query", f"The address has more than {MAX_PARAMETERS} parameters.")


def read_parameters(pairs: Mapping[str, list[str]]) -> OperationRequest:
    """The operation in the parameters of an address: each with all its values."""
    body: dict[str, Any] = {}
    for name in PARAMETERS:
        values = pairs.get(name, [])
        if len(values) > 1:
            raise bad_input(name, f"The parameter {name} is given more than once.")
        # An empty parameter is what a form sends for one that was not filled in.
        if values and values[0]:
            body[name] = values[0]
    for name in ("variables", "extensions"):
        if name in body:
            body[name] = _parsed(body[name].encode(errors="surrogatepass"), name)
    return read_operation(body)


def read_json(body: bytes) -> object:
    """The value that a body says. Raises BAD_USER_INPUT for what is not JSON, or says a parameter twice, and
    PAYLOAD_TOO_LARGE."""
    if has_too_many_items(body):
        raise Problem(ErrorCode.PAYLOAD_TOO_LARGE, TOO_MANY_ITEMS)
    value = _parsed(body, None)
    several = [name for name in PARAMETERS if body.count(_quoted(name)) > 1]
    # Of a name that is there twice in one object, only the last is left in the value. The cheap look comes first.
    left = orjson.dumps(value) if several else b""
    for name in several:
        if left.count(_quoted(name)) < body.count(_quoted(name)):
            raise bad_input(name, f"The parameter {name} is given more than once.")
    return value


TOO_MANY_ITEMS = f"The request has more than {MAX_ITEMS} elements of lists and fields of objects."


def has_too_many_items(body: bytes) -> bool:
    """Whether JSON has more than MAX_ITEMS, by its commas outside of texts: to build all the values takes long."""
    if body.count(b",") <= MAX_ITEMS:
        return False
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    # An item has two texts at most, its name and its value.
    if plain.count(b'"') > 4 * MAX_ITEMS:
        return True
    return sum(part.count(b",") for part in plain.split(b'"')[::2]) > MAX_ITEMS


def _quoted(name: str) -> bytes:
    return b'"%b"' % name.encode()


def _parsed(text: bytes, field: str | None) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        where = "The request body" if field is None else f"The parameter {field}"
        # Its own words tell the place; those about UTF-8 and about deep nesting are as plain.
        raise bad_input(field or "query", f"{where} is not JSON: {error}.") from None


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(name, "string")
    return value


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise _wrong(name, "JSON object")
    return value or {}


def _wrong(name: str, wanted: str) -> Problem:
    return bad_input(name, f"The {name} must be a {wanted}.")
