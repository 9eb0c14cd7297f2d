"""The document at /openapi.json, and the page that shows it."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from starlette.routing import Mount, Route

import rest_compat
from resolvers.core.errors import ErrorCode
from resolvers.webhooks.events import EVENT_NAMES
from rest_compat.errors import PROTOCOL_STATUSES, STATUSES_AND_NAMES
from rest_compat.openapi.document import document
from rest_compat.openapi.errors import CODES, ONLY_GRAPHQL
from rest_compat.routing import Resource
from tests.support.clients import Caller
from tests.support.servers import RunningServer

Json = dict[str, Any]
METHODS = {"get", "post", "patch", "delete", "put"}
OUTSIDE = re.compile(
    r"""(?:\b(?:src|href|data)\s*=\s*|\b(?:import|from)\s*\(?\s*|\burl\(\s*|\bimportScripts\(\s*)["'`]?(?:https?:)?//[^"'`)\s]+"""
)
# The viewer names these for pages that let it load fonts. This page does not, and its policy forbids it.
FONTS = re.compile(r"url\(https://fonts\.gstatic\.com/")


@pytest.fixture(scope="module")
async def nobody(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    caller = Caller(server, "")
    yield caller.http
    await caller.close()


@pytest.fixture(scope="module")
async def spec(nobody: httpx.AsyncClient) -> Json:
    answer = await nobody.get("/openapi.json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    spec: Json = answer.json()
    assert spec == document(rest_compat.routes())
    return spec


def operations(spec: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for name, value in part.items() if name == "$ref")
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from references(inner)


async def test_it_is_openapi_3_1(spec: Json) -> None:
    assert spec["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(spec).validate()
    for reference in set(references(spec)):
        part: Any = spec
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]
    for name, schema in spec["components"]["schemas"].items():
        jsonschema_rs.Draft202012Validator({**schema, "components": spec["components"]})
        assert re.fullmatch(r"[A-Z][A-Za-z]+", name)
    unused = [
        f"#/components/{kind}/{name}"
        for kind, parts in spec["components"].items()
        for name in parts
        if kind != "securitySchemes" and f"#/components/{kind}/{name}" not in set(references(spec))
    ]
    assert unused == []


async def test_every_method_of_every_route_is_in_it_and_nothing_else(spec: Json) -> None:
    there = {
        f"{method} {mount.path}{route.path}"
        for mount in rest_compat.routes()
        if isinstance(mount, Mount)
        for route in mount.routes
        if isinstance(route, Route) and isinstance(route.endpoint, Resource)
        for method in route.endpoint.operations or ()
    }
    assert {name for name, _ in operations(spec)} == there
    names = [operation["operationId"] for _, operation in operations(spec)]
    assert len(names) == len(set(names)) == len(there)


async def test_every_operation_has_a_summary_and_schemas(spec: Json) -> None:
    for name, operation in operations(spec):
        assert operation["summary"], name
        assert len(operation["tags"]) == 1, name
        [success] = [status for status in operation["responses"] if status.startswith("2")]
        contents = operation["responses"][success].get("content", {})
        assert (contents == {}) == (success == "204"), name
        for kind, content in [*contents.items(), *operation.get("requestBody", {}).get("content", {}).items()]:
            assert ("schema" in content) == (kind in {"application/json", "text/event-stream"}), name
        places = [one["name"] for one in operation.get("parameters", []) if one.get("in") == "path"]
        assert places == re.findall(r"\{(\w+)\}", name)


async def test_the_errors_of_an_operation_follow_from_what_it_is(spec: Json) -> None:
    responses = {name: set(operation["responses"]) for name, operation in operations(spec)}
    always = {"401", "403", "429", "500"}
    assert responses["GET /v1/me"] == always | {"200", "400"}
    assert responses["GET /v1/notes"] == always | {"200", "400", "422"}
    assert responses["POST /v1/notes"] == always | {"201", "400", "409", "413", "415", "422"}
    assert responses["GET /v1/notes/{id}"] == always | {"200", "304", "400", "404"}
    assert responses["PATCH /v1/notes/{id}"] == always | {"200", "400", "404", "409", "413", "415", "422"}
    assert responses["DELETE /v1/notes/{id}"] == always | {"200", "400", "404"}
    assert responses["DELETE /v1/workspace/members/{id}"] == always | {"200", "400", "404", "409"}
    ai = "/api/v1/ai"
    assert responses[f"GET {ai}/models"] == {"200", "500"}
    assert responses[f"POST {ai}/conversations"] == always | {"201", "404", "413", "422"}
    assert responses[f"POST {ai}/conversations/{{id}}/stream"] == always | {"200", "404", "409", "413", "422"}
    assert responses[f"DELETE {ai}/conversations/{{id}}"] == always | {"204", "404"}
    assert responses[f"GET {ai}/suggestions"] == always | {"200", "404", "422"}
    assert responses[f"POST {ai}/suggestions"] == always | {"201", "404", "413", "422"}
    assert responses[f"PATCH {ai}/suggestions/{{id}}/status"] == always | {"200", "404", "409", "413", "422"}
    assert responses[f"POST {ai}/embeddings/search"] == always | {"200", "404", "413", "422", "503"}


async def test_errors_have_every_code_and_valid_examples(spec: Json) -> None:
    known = {STATUSES_AND_NAMES[code][1] for code in ErrorCode if code not in ONLY_GRAPHQL} | set(PROTOCOL_STATUSES)
    schemas = spec["components"]["schemas"]
    for name in ("Error", "AiError", "AiInvalid"):
        assert set(schemas[name]["properties"]["code"]["enum"]) == known == set(CODES)
    for name, response in spec["components"]["responses"].items():
        content = response["content"]["application/json"]
        jsonschema_rs.Draft202012Validator({**content["schema"], "components": spec["components"]}).validate(
            content["example"]
        )
        assert ("X-RateLimit-Limit" in response["headers"]) == ("401" not in name)
        assert ("Retry-After" in response["headers"]) == name.endswith(("429", "503"))


async def test_query_parameters_have_schemas_and_a_style(spec: Json) -> None:
    listed = {one["name"]: one for one in spec["paths"]["/v1/notes"]["get"]["parameters"] if "name" in one}
    assert listed["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    ids = listed["tagIds"]
    assert (ids["style"], ids["explode"], ids["schema"]["type"], ids["schema"]["maxItems"]) == (
        "form",
        False,
        "array",
        100,
    )
    assert listed["fromDate"]["schema"]["type"] == "string"
    assert "2026-01-31" in listed["fromDate"]["schema"]["examples"]
    parameters = spec["paths"]["/api/v1/ai/conversations"]["get"]["parameters"]
    assert [one["name"] for one in parameters if one.get("required")] == ["document_id"]


async def test_every_webhook_event_is_described(spec: Json) -> None:
    """tests/test_webhook_deliveries.py checks that real requests match the schemas."""
    assert list(spec["webhooks"]) == list(EVENT_NAMES)
    signed = ["X-Caret-Signature", "webhook-id", "webhook-timestamp", "webhook-signature"]
    for name, methods in spec["webhooks"].items():
        [(method, post)] = methods.items()
        assert (method, post["security"], set(post["responses"])) == ("post", [], {"2XX", "410"})
        parameters = [one["$ref"].rpartition("/")[2] for one in post["parameters"]]
        assert [spec["components"]["parameters"][one]["name"] for one in parameters] == signed
        schema = post["requestBody"]["content"]["application/json"]["schema"]
        assert schema["properties"] == {"type": {"const": name}}
        envelope = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert set(envelope["required"]) == {"type", "eventId", "webhookId", "workspaceId", "timestamp", "payload"}


async def test_every_operation_names_its_credentials(spec: Json) -> None:
    assert spec["paths"]["/v1/notes"]["get"]["security"] == [{"bearer": []}, {"apiKey": []}]
    assert spec["paths"]["/api/v1/ai/conversations"]["get"]["security"] == [{"bearer": []}]
    assert spec["paths"]["/api/v1/ai/models"]["get"]["security"] == []


async def test_the_document_has_an_etag(nobody: httpx.AsyncClient) -> None:
    first = await nobody.get("/openapi.json")
    again = await nobody.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    stale = await nobody.get("/openapi.json", headers={"If-None-Match": '"x"'})
    assert (stale.status_code, stale.content) == (200, first.content)


async def test_the_page_loads_nothing_from_other_servers(nobody: httpx.AsyncClient) -> None:
    page = await nobody.get("/docs")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Cache-Control"] == "no-cache"
    assert not OUTSIDE.search(page.text)
    assert 'load-fonts="false"' in page.text
    assert "<script>" not in page.text
    [script] = re.findall(r'<script[^>]* src="([^"]+)"', page.text)
    viewer = await nobody.get(f"/{script}")
    assert (viewer.status_code, viewer.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert viewer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert not OUTSIDE.search(FONTS.sub("", viewer.text))
    for answer in (page, viewer):
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        assert policy.pop("default-src") == "'none'"
        sources = {source for part in policy.values() for source in part.split()}
        assert sources == {"'self'", "'none'", "'unsafe-inline'", "data:"}
        assert policy["script-src"] == "'self'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # The document itself is on the page's own server.
    [spec] = re.findall(r'spec-url="([^"]+)"', page.text)
    assert (await nobody.get(f"/{spec}")).status_code == 200


async def test_rate_limit_headers_are_described_in_points(spec: Json) -> None:
    """The limit counts points, not requests: a GraphQL operation may cost many."""
    headers = spec["components"]["headers"]
    for name in ("RateLimit", "RateRemaining", "RateReset"):
        assert "points" in headers[name]["description"]
    assert "60 seconds" in headers["RateLimit"]["description"]
