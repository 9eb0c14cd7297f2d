"""Reads an operation as clients send it, on every transport: in a JSON object, or in the parameters of an address."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from models.limits import limit
from resolvers.core.errors import ErrorCode, Problem, bad_input
from schema.execution.operation import OperationRequest

PARAMETERS: Final = ("query", "variables", "operationName", "extensions", "documentId")
_AREA = "GraphQL over HTTP"
MAX_QUERY_STRING_KIB = limit(16, "Query string of an address", area=_AREA, beyond="BAD_USER_INPUT, 400", unit="KiB")
"""Decoding takes time for each escaped character; most proxies let less pass."""
MAX_PARAMETERS = limit(100, "Parameters in a query string", area=_AREA, beyond="BAD_USER_INPUT, 400")
MAX_ITEMS = limit(
    100_000,
    "Elements of lists and fields of objects in a request or a WebSocket message",
    area=_AREA,
    beyond="PAYLOAD_TOO_LARGE, 413; close 1009",
)
"""Measured by the commas outside of texts, which are a few more. A note of 10,000 segments has 50,000."""
ANONYMOUS_MAX_BODY_KIB = limit(
    64,
    "Request body or WebSocket message without a credential",
    area=_AREA,
    beyond="PAYLOAD_TOO_LARGE, 413; close 1009",
    unit="KiB",
)
MAX_QUERY_STRING_BYTES: Final = MAX_QUERY_STRING_KIB * 1024
ANONYMOUS_MAX_BODY_BYTES: Final = ANONYMOUS_MAX_BODY_KIB * 1024


def read_operation(body: object) -> OperationRequest:
    """The operation in the parsed body of a request, or in a socket's payload. Raises BAD_USER_INPUT."""
    if isinstance(body, list):
        raise bad_input("query", "Batching is not supported: send one operation per request, as a JSON object.")
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


def check_query_string(text: bytes) -> None:
    """Raises BAD_USER_INPUT for a query string that would take long to decode."""
    if len(text) > MAX_QUERY_STRING_BYTES:
        message = f"The query string has more than {MAX_QUERY_STRING_BYTES} bytes: send a POST."
        raise bad_input("query", message)
    if text.count(b"&") >= MAX_PARAMETERS:
        raise bad_input("query", f"The query string has more than {MAX_PARAMETERS} parameters.")


def read_parameters(pairs: Mapping[str, list[str]]) -> OperationRequest:
    """The operation in the parameters of a query string, each of which comes with all its values."""
    body: dict[str, Any] = {}
    for name in PARAMETERS:
        values = pairs.get(name, [])
        if len(values) > 1:
            raise bad_input(name, f"The parameter {name} occurs more than once.")
        # An empty parameter is what a form sends for one that was not filled in.
        if values and values[0]:
            body[name] = values[0]
    for name in ("variables", "extensions"):
        if name in body:
            body[name] = _parsed(body[name].encode(errors="surrogatepass"), name)
    return read_operation(body)


def read_json(body: bytes) -> object:
    """The parsed body. Raises PAYLOAD_TOO_LARGE, and BAD_USER_INPUT if it is not JSON or has a parameter twice."""
    if has_too_many_items(body):
        raise Problem(ErrorCode.PAYLOAD_TOO_LARGE, TOO_MANY_ITEMS)
    value = _parsed(body, None)
    suspects = [name for name in PARAMETERS if body.count(_quoted(name)) > 1]
    # If a name occurs twice in one object, the parsed value keeps only the last. The cheap test comes first.
    parsed = orjson.dumps(value) if suspects else b""
    for name in suspects:
        if parsed.count(_quoted(name)) < body.count(_quoted(name)):
            raise bad_input(name, f"The parameter {name} occurs more than once.")
    return value


TOO_MANY_ITEMS = f"The request has more than {MAX_ITEMS} elements of lists and fields of objects."


def has_too_many_items(body: bytes) -> bool:
    """Whether JSON has more than MAX_ITEMS, by its commas outside of texts. Building all the values would take long."""
    if body.count(b",") <= MAX_ITEMS:
        return False
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    # An item has at most two texts, its name and its value.
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
        # orjson's message names the position. Its messages about UTF-8 and about deep nesting are as plain.
        raise bad_input(field or "query", f"{where} is not JSON: {error}.") from None


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong_type(name, "string")
    return value


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise _wrong_type(name, "JSON object")
    return value or {}


def _wrong_type(name: str, expected: str) -> Problem:
    return bad_input(name, f"The {name} must be a {expected}.")
