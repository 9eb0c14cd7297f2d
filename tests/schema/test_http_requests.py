"""GraphQL over HTTP at the running server: requests, and their complete responses."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from schema.transports.media_types import MAX_ACCEPTED_TYPES
from schema.transports.requests import ANONYMOUS_MAX_BODY_BYTES, MAX_ITEMS, MAX_PARAMETERS, MAX_QUERY_STRING_BYTES
from tests.conftest import Tenant
from tests.support.clients import NOBODY, Caller

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
ID = {"X-Request-Id": "req-1"}
NAME = {"query": "{__typename}"}
NAMED = {"data": {"__typename": "Query"}}


@dataclass
class Case:
    """`answer` is the whole body, or the message of its one error; `named` (its field) and `code` are that error's."""

    status: int
    answer: Any
    content: bytes | str = b""
    method: str = "POST"
    path: str = "/graphql"
    headers: dict[str, str] = field(default_factory=dict)
    media: str = JSON
    code: str = "BAD_USER_INPUT"
    named: str | None = None
    response_headers: dict[str, str] = field(default_factory=dict)


async def check(caller: Caller, case: Case) -> None:
    sent = {"Content-Type": JSON} if case.method == "POST" else {}
    headers = {name: value for name, value in {**sent, **ID, **case.headers}.items() if value}
    response = await caller.http.request(case.method, case.path, content=case.content, headers=headers)
    assert response.status_code == case.status, response.text
    assert response.headers["content-type"] == f"{case.media}; charset=utf-8"
    assert {name: response.headers.get(name) for name in case.response_headers} == case.response_headers
    if isinstance(case.answer, str):
        named = {} if case.named is None else {"field": case.named}
        extensions = {"code": case.code, "status": case.status, **named, "requestId": "req-1"}
        assert response.json() == {"errors": [{"message": case.answer, "extensions": extensions}]}
    else:
        assert response.json() == case.answer


def body(**parameters: Any) -> str:
    return json.dumps(parameters)


def refused(message: str, content: bytes | str, named: str | None = "query") -> Case:
    return Case(400, message, content, named=named)


BATCH = "Batching is not supported: send one operation per request, as a JSON object."
TWICE = "The parameter query occurs more than once."
OBJECT = "A request is a JSON object with a query."
MALFORMED: dict[str, Case] = {
    "nothing": refused(
        "The request body is not JSON: Input is a zero-length, empty document: line 1 column 1 (char 0).", b""
    ),
    "no JSON": refused(
        "The request body is not JSON: unexpected end of data: line 1 column 13 (char 12).", b'{"query":"{a'
    ),
    "number": refused(OBJECT, b"5"),
    "null": refused(OBJECT, b"null"),
    "string": refused(OBJECT, b'"{__typename}"'),
    "empty list": refused(BATCH, b"[]"),
    "list": refused(
        "Batching is not supported: send one operation per request, as a JSON object.", f"[{body(**NAME)}]"
    ),
    "deep": refused("The request body is not JSON: depth limit exceeded: line 1 column 1026 (char 1025).", b"[" * 2000),
    "UTF-8": refused(
        "The request body is not JSON: str is not valid UTF-8: surrogates not allowed: line 1 column 1 (char 0).",
        b'{"query":"\xff"}',
    ),
    "twice": refused(TWICE, b'{"query":"{__typename}","query":"{a}"}'),
    "twice, with another between": refused(TWICE, b'{"query":"{a}","variables":{"query":1},"query":"{a}"}'),
    "no query": refused(
        "The query is missing: send its text, or the documentId of a persisted one.", body(qeury="{__typename}")
    ),
    "query": refused("The query must be a string.", body(query=5)),
    "variables": refused("The variables must be a JSON object.", body(**NAME, variables=[]), "variables"),
    "operationName": refused("The operationName must be a string.", body(**NAME, operationName=0), "operationName"),
    "extensions": refused("The extensions must be a JSON object.", body(**NAME, extensions="x"), "extensions"),
    "documentId": refused("The documentId must be a string.", body(documentId=[]), "documentId"),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("media", [JSON, GRAPHQL])
async def test_what_is_no_request_is_400_in_every_media_type(tenant: Tenant, name: str, media: str) -> None:
    case = MALFORMED[name]
    case.headers, case.media = {"Accept": media}, media
    await check(await tenant.key(), case)


async def test_a_parameter_may_have_namesakes(tenant: Tenant) -> None:
    query = "query query($query:ID!){node(id:$query){id}}"
    content = body(query=query, operationName="query", variables={"query": NOBODY})
    await check(await tenant.key(), Case(200, {"data": {"node": None}}, content))


@pytest.mark.parametrize("media", ["", "text/plain", "multipart/form-data; boundary=x", f"{JSON}; charset=latin-1"])
async def test_only_json_in_utf_8_is_read(tenant: Tenant, media: str) -> None:
    case = Case(415, "Send the operation as application/json, in UTF-8.", body(**NAME))
    case.headers, case.code = {"Content-Type": media}, "UNSUPPORTED_MEDIA_TYPE"
    await check(await tenant.key(), case)


def at(query: str, **parameters: str) -> str:
    pairs = {"query": query, **parameters}
    return "/graphql?" + "&".join(f"{name}={value}" for name, value in pairs.items())


BY_GET: dict[str, Case] = {
    "query": Case(200, NAMED, path=at("{__typename}")),
    "empty parameters": Case(200, NAMED, path=at("{__typename}", operationName="", variables="", extensions="")),
    "variables": Case(
        200, {"data": {"node": None}}, path=at("query($i:ID!){node(id:$i){id}}", variables=f'{{"i":"{NOBODY}"}}')
    ),
    "operation": Case(200, NAMED, path=at("query A{a:__typename} query B{__typename}", operationName="B")),
    "mutation": Case(
        405,
        "Send a mutation as a POST request.",
        path=at("mutation{__typename}"),
        code="METHOD_NOT_ALLOWED",
        response_headers={"Allow": "POST"},
    ),
    "mutation in events": Case(
        405,
        "Send a mutation as a POST request.",
        path=at("mutation{__typename}"),
        headers={"Accept": "text/event-stream"},
        code="METHOD_NOT_ALLOWED",
        response_headers={"Allow": "POST"},
    ),
    "nothing": Case(
        400,
        "The query is missing: send its text, or the documentId of a persisted one.",
        path="/graphql",
        named="query",
    ),
    "twice": Case(400, TWICE, path=at("{a}") + "&query={b}", named="query"),
    "variables that are no JSON": Case(
        400,
        "The parameter variables is not JSON: unexpected character, expected a JSON value: line 1 column 1 (char 0).",
        path=at("{__typename}", variables="x"),
        named="variables",
    ),
    "extensions that are no object": Case(
        400, "The extensions must be a JSON object.", path=at("{__typename}", extensions="1"), named="extensions"
    ),
}


@pytest.mark.parametrize("name", BY_GET)
async def test_by_get(tenant: Tenant, name: str) -> None:
    case = BY_GET[name]
    case.method = "GET"
    await check(await tenant.key(), case)


async def test_an_address_at_its_limits(tenant: Tenant) -> None:
    stranger = tenant._caller("", None)
    long = "The query string has more than 16384 bytes: send a POST."
    for size, case in (
        (MAX_QUERY_STRING_BYTES, Case(200, NAMED)),
        (MAX_QUERY_STRING_BYTES + 1, Case(400, long, named="query")),
    ):
        query = "query={__typename}&x="
        case.method, case.path = "GET", f"/graphql?{query.ljust(size, 'x')}"
        await check(stranger, case)
    many = "The query string has more than 100 parameters."
    for count, case in ((MAX_PARAMETERS, Case(200, NAMED)), (MAX_PARAMETERS + 1, Case(400, many, named="query"))):
        case.method, case.path = "GET", at("{__typename}") + "".join(f"&a{n}=" for n in range(count - 1))
        await check(stranger, case)


@pytest.mark.parametrize("method", ["PATCH", "HEAD", "OPTIONS"])
async def test_other_methods(tenant: Tenant, method: str) -> None:
    response = await (await tenant.key()).http.request(method, "/graphql")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST, PUT, DELETE")


STATUSES: dict[str, tuple[str, dict[str, Any], int, int]] = {
    # In application/json, and in application/graphql-response+json.
    "fine": ("{__typename}", {}, 200, 200),
    "partial": (f'mutation{{__typename deleteNote(id:"{NOBODY}")}}', {}, 200, 294),
    "syntax": ("{", {}, 200, 400),
    "validation": ("{nope}", {}, 200, 400),
    "unknown operation": ("query A{__typename}", {"operationName": "B"}, 200, 400),
    "one of several": ("query A{__typename} query B{__typename}", {}, 200, 400),
    "variables": ("query($i:ID!){node(id:$i){id}}", {"variables": {"i": None}}, 200, 400),
    "too complex": ("{" + "a:__typename " * 51 + "}", {}, 200, 400),
    "subscription": ("subscription{workspaceEvents{id}}", {}, 406, 406),
}


@pytest.mark.parametrize("name", STATUSES)
async def test_the_status_of_an_operations_result(tenant: Tenant, name: str) -> None:
    query, more, plain, exact = STATUSES[name]
    key = await tenant.key()
    for media, status in ((JSON, plain), (GRAPHQL, exact)):
        response = await key.http.post("/graphql", json={"query": query, **more}, headers={"Accept": media})
        assert (response.status_code, response.headers["content-type"]) == (status, f"{media}; charset=utf-8")
        # What was refused before it ran has no data, which is how a client knows.
        assert ("data" in response.json()) == (status in {200, 294} and name in {"fine", "partial"})


async def test_data_that_is_null_is_a_partial_success_too(tenant: Tenant) -> None:
    anonymous = tenant._caller("", None)
    for media, status in ((JSON, 200), (GRAPHQL, 294)):
        response = await anonymous.http.post(
            "/graphql", json={"query": "{viewer{workspace{id}}}"}, headers={"Accept": media}
        )
        assert (response.status_code, response.json()["data"]) == (status, None)


async def test_a_bad_credential_is_refused_in_every_media_type(tenant: Tenant) -> None:
    anonymous = tenant._caller("sk-caret-api-nothing", None)
    for media in (JSON, GRAPHQL):
        case = Case(401, "This API key is unknown or was revoked.", body(**NAME), code="UNAUTHENTICATED")
        case.headers, case.media, case.response_headers = {"Accept": media}, media, {"WWW-Authenticate": "Bearer"}
        await check(anonymous, case)


async def test_a_body_that_is_too_large(tenant: Tenant) -> None:
    case = Case(413, "The request body is larger than 4194304 bytes.", b" " * (4 * 2**20 + 1))
    case.code = "PAYLOAD_TOO_LARGE"
    await check(await tenant.key(), case)


async def test_a_body_without_a_credential_is_small(tenant: Tenant) -> None:
    stranger, content = tenant._caller("", None), body(**NAME)
    await check(stranger, Case(200, NAMED, content.ljust(ANONYMOUS_MAX_BODY_BYTES)))
    text = "Without a credential a request body has at most 65536 bytes."
    await check(stranger, Case(413, text, content.ljust(ANONYMOUS_MAX_BODY_BYTES + 1), code="PAYLOAD_TOO_LARGE"))
    await check(await tenant.key(), Case(200, NAMED, content.ljust(ANONYMOUS_MAX_BODY_BYTES + 1)))


def having(items: int, item: str) -> str:
    """A request of so many commas, one of them outside of the list."""
    return f'{{"query":"{{__typename}}","variables":{{"a":[{",".join([item] * items)}]}}}}'


@pytest.mark.parametrize("item", ["[]", '"x,y"', r'"\",\\"'])
async def test_the_items_of_a_body(tenant: Tenant, item: str) -> None:
    key = await tenant.key()
    await check(key, Case(200, NAMED, having(MAX_ITEMS, item)))
    text = "The request has more than 100000 elements of lists and fields of objects."
    for items in (MAX_ITEMS + 1, 3 * MAX_ITEMS):
        await check(key, Case(413, text, having(items, item), code="PAYLOAD_TOO_LARGE"))


ACCEPTS = {
    "": JSON,
    "*/*": JSON,
    "application/*": JSON,
    JSON: JSON,
    GRAPHQL: GRAPHQL,
    f"{JSON}, {GRAPHQL}": JSON,
    f"{GRAPHQL}, {JSON}": GRAPHQL,
    f"{JSON};q=0.5, {GRAPHQL};q=0.6": GRAPHQL,
    f"{GRAPHQL};q=0, */*": JSON,
    f"{JSON};q=0, */*": GRAPHQL,
    f"*/*, {GRAPHQL}": GRAPHQL,
    f"{GRAPHQL}; charset=UTF-8, {JSON};q=0.9": GRAPHQL,
    f"{GRAPHQL};charset=latin-1, {JSON}": JSON,
    f"text/event-stream, {JSON};q=0.1": JSON,
    f'x/y;a="{GRAPHQL},;\\"", {GRAPHQL}': GRAPHQL,
    f"{GRAPHQL};q=nonsense": GRAPHQL,
    "x/y," * (MAX_ACCEPTED_TYPES - 1) + f"{GRAPHQL}, {JSON}": GRAPHQL,
    "x/y," * (MAX_ACCEPTED_TYPES - 2) + f"{JSON};q=0.1, */*;q=0, {GRAPHQL}": JSON,
    # urql's, and Apollo Client's.
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, "
    "multipart/mixed": GRAPHQL,
    "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,"
    "application/json;q=0.9": GRAPHQL,
}


@pytest.mark.parametrize("accept", ACCEPTS)
async def test_the_media_type_that_is_preferred(tenant: Tenant, accept: str) -> None:
    caller = await tenant.key()
    if not accept:
        del caller.http.headers["accept"]
    await check(caller, Case(200, NAMED, body(**NAME), headers={"Accept": accept}, media=ACCEPTS[accept]))


@pytest.mark.parametrize("accept", ["text/html", "image/*", "application/xml;q=1", "multipart/mixed", f"{JSON};q=0"])
async def test_nothing_that_is_accepted(tenant: Tenant, accept: str) -> None:
    text = (
        "Accept application/json, application/graphql-response+json, text/event-stream or "
        'multipart/mixed;boundary="graphql";subscriptionSpec="1.0".'
    )
    await check(await tenant.key(), Case(406, text, body(**NAME), headers={"Accept": accept}, code="NOT_ACCEPTABLE"))
