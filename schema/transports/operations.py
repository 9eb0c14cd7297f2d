"""A request for an operation, as every transport is sent it: in a JSON object, or in the parameters of an address."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from resolvers.errors import Problem, bad_input

PARAMETERS = ("query", "variables", "operationName", "extensions", "documentId")


@dataclass(frozen=True, slots=True)
class Operation:
    """`query` None: the document is known by `document_id`, or by the hash in `extensions` (see `persisted`)."""

    query: str | None
    name: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)
    document_id: str | None = None


def read_operation(body: object) -> Operation:
    """The operation in the parsed body of a request, or in a socket's payload. Raises BAD_USER_INPUT."""
    if isinstance(body, list):
        raise bad_input("query", "Batching is off: send one operation, as a JSON object, per request.")
    if not isinstance(body, dict):
        raise bad_input("query", "A request is a JSON object with a query.")
    operation = Operation(
        _text(body, "query"),
        _text(body, "operationName"),
        _object(body, "variables"),
        _object(body, "extensions"),
        _text(body, "documentId"),
    )
    if operation.query is None and operation.document_id is None and "persistedQuery" not in operation.extensions:
        raise bad_input("query", "The query is missing: send its text, or the documentId of a persisted one.")
    return operation


def read_parameters(pairs: Mapping[str, list[str]]) -> Operation:
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
    """The value that a body says. Raises BAD_USER_INPUT for what is not JSON, or says a parameter twice."""
    value = _parsed(body, None)
    for name in PARAMETERS:
        quoted = b'"%b"' % name.encode()
        # Of a name that is there twice in one object, only the last is left in the value. A cheap look first.
        if (count := body.count(quoted)) > 1 and orjson.dumps(value).count(quoted) < count:
            raise bad_input(name, f"The parameter {name} is given more than once.")
    return value


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
