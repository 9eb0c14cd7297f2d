"""The OpenAPI 3.1 document of both API families, made from the routes and from the models that validate requests."""

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from rest_compat.openapi import webhooks
from rest_compat.openapi.errors import FamilyErrors, error_response, error_statuses, errors_of
from rest_compat.openapi.headers import (
    CREDENTIALS,
    ETAG,
    HEADERS,
    PARAMETERS,
    RATE,
    REQUEST_ID,
    request_headers,
    response_headers,
)
from rest_compat.openapi.schemas import SchemaRegistry
from rest_compat.operations import Operation
from rest_compat.routing import ApiFamily, Resource

Json = dict[str, Any]
JSON = "application/json"
PATH_PARAMETER = re.compile(r"\{(\w+)\}")

INTRODUCTION = """Meeting notes and documents over REST. `/v1` is the notes API. `/api/v1/ai` is the editor's AI API,
which calls a note a document. The GraphQL API at `/graphql` serves the same data, with subscriptions.

If a query parameter is repeated, the last value wins. `/v1` refuses unknown fields of a body; `/api/v1/ai` ignores
them. Dates and times are ISO 8601 in UTC."""
SUCCESS = {201: "Created.", 204: "Done. The response has no content."}


@dataclass(frozen=True, slots=True)
class DescribedOperation:
    """An operation with its method and its whole path."""

    family: ApiFamily
    method: str
    path: str
    operation: Operation

    @property
    def errors(self) -> FamilyErrors:
        return errors_of(self.family)

    @property
    def tag(self) -> str:
        """The noun that the operation is about: the name of its endpoint's file."""
        return self.operation.endpoint.__module__.rpartition(".")[2].replace("_", " ").capitalize()

    @property
    def operation_id(self) -> str:
        """An id such as `getV1NotesById`, which does not change as long as the path does not."""
        words = re.findall(
            r"\w+", PATH_PARAMETER.sub(r"by \1", self.path).replace("/api/v1/ai", "/ai").replace("_", " ")
        )
        return self.method.lower() + "".join(word[0].upper() + word[1:] for word in words)

    @property
    def stream(self) -> Any:
        """The class of the response if the response is a stream."""
        returns = self.operation.returns
        return returns if inspect.isclass(returns) and issubclass(returns, Response) else None

    @property
    def content(self) -> Any:
        """The shape of the response, or of each event of a stream."""
        return self.stream.event if self.stream else self.operation.returns

    @property
    def error_statuses(self) -> list[int]:
        return error_statuses(self.errors, self.method, self.path, self.operation)

    def shapes(self) -> Iterator[tuple[Any, str]]:
        """Every type whose schema the operation needs, with its JSON Schema mode."""
        yield from ((part, "validation") for part in (self.operation.body, self.operation.query) if part is not None)
        if self.content is not None:
            yield self.content, "serialization"
        yield from ((self.errors.body(status), "serialization") for status in self.error_statuses)


def describe(routes: Iterable[BaseRoute]) -> Iterator[DescribedOperation]:
    """Every method of every route."""
    for mount in (route for route in routes if isinstance(route, Mount)):
        for route in (route for route in mount.routes if isinstance(route, Route)):
            if isinstance(resource := route.endpoint, Resource):
                for method, operation in (resource.operations or {}).items():
                    yield DescribedOperation(resource.family, method, mount.path + route.path, operation)


def document(routes: Iterable[BaseRoute]) -> Json:
    """The whole document."""
    operations = list(describe(routes))
    schemas = SchemaRegistry([*webhooks.shapes(), *(shape for one in operations for shape in one.shapes())])
    for one in operations:
        if one.method == "PATCH" and one.operation.body is not None:
            # A field that is not sent keeps its value: there is no default.
            for field in schemas.component(one.operation.body, "validation")["properties"].values():
                field.pop("default", None)
    paths: dict[str, Json] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = operation_object(one, schemas)
    queries = {one.operation.query.__name__ for one in operations if one.operation.query}
    errors = (
        error_response(one.errors, one.family, status, schemas) for one in operations for status in one.error_statuses
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Caret", "version": version("caret"), "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in sorted({one.tag for one in operations})],
        "paths": paths,
        "webhooks": webhooks.webhooks(schemas),
        "components": {
            "schemas": {name: part for name, part in schemas.components.items() if name not in queries},
            "responses": dict(sorted(errors)),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": CREDENTIALS,
        },
    }


def operation_object(one: DescribedOperation, schemas: SchemaRegistry) -> Json:
    """The Operation Object. The endpoint's docstring is its summary, and its description after the first sentence."""
    text = inspect.cleandoc(one.operation.endpoint.__doc__ or "")
    summary, _, description = text.replace("\n", " ").partition(". ")
    content: Json = {
        "operationId": one.operation_id,
        "tags": [one.tag],
        "summary": summary.removesuffix("."),
        "description": description,
        "parameters": [*parameters(one, schemas)],
    }
    content = {name: part for name, part in content.items() if part}
    if one.operation.body is not None:
        schema = schemas.reference(one.operation.body, "validation")
        content["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    elif one.operation.raw_body is not None:
        content["requestBody"] = {"required": True, "content": {one.operation.raw_body: {}}}
    content["responses"] = responses(one, schemas)
    content["security"] = [{name: []} for name in one.errors.credentials]
    return content


def responses(one: DescribedOperation, schemas: SchemaRegistry) -> Json:
    by_status = {one.operation.status: success(one, schemas)}
    if one.operation.has_etag and one.method == "GET":
        headers = response_headers(ETAG, REQUEST_ID)
        by_status[304] = {"description": "The caller has the current version.", "headers": headers}
    for status in one.error_statuses:
        by_status[status] = {"$ref": f"#/components/responses/{one.errors.response_name(status)}"}
    return {str(status): response for status, response in sorted(by_status.items())}


def parameters(one: DescribedOperation, schemas: SchemaRegistry) -> Iterator[Json]:
    for name in PATH_PARAMETER.findall(one.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
    if one.operation.query is not None:
        yield from query_parameters(schemas.component(one.operation.query, "validation"))
    accepts = {
        "Workspace": "apiKey" in one.errors.credentials,
        "IdempotencyKey": one.operation.is_idempotent,
        "IfNoneMatch": one.operation.has_etag and one.method == "GET",
        "IfMatch": one.operation.read_revision is not None and one.method == "PATCH",
        "LastEventId": one.stream is not None and one.method == "GET",
    }
    yield from request_headers(*(name for name, is_accepted in accepts.items() if is_accepted))


def query_parameters(model: Json) -> Iterator[Json]:
    """The fields of a query's model. A query can't hold null, and lists are separated by commas."""
    required = model.get("required", [])
    for name, field in model["properties"].items():
        schema = _without_null(field)
        parameter = {"name": name, "in": "query", "schema": schema}
        if name in required:
            parameter["required"] = True
        if description := schema.pop("description", None):
            parameter["description"] = description
        yield {**parameter, "style": "form", "explode": False} if schema.get("type") == "array" else parameter


def _without_null(schema: Json) -> Json:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {name: part for name, part in schema.items() if name != "anyOf" and (name, part) != ("default", None)}
    if len(kinds) == 1:
        return {**kinds[0], **rest}
    return {**rest, "anyOf": kinds} if kinds else rest


def success(one: DescribedOperation, schemas: SchemaRegistry) -> Json:
    rate = RATE if one.errors.credentials else {}
    response = {
        "description": SUCCESS.get(one.operation.status, "Success."),
        "headers": response_headers(ETAG if one.operation.has_etag else {}, rate, REQUEST_ID),
    }
    if one.content is not None:
        schema = schemas.reference(one.content, "serialization")
        media_type = one.stream.media_type if one.stream else JSON
        response["content"] = {media_type: {"schema": event_schema(schema) if one.stream else schema}}
    return response


def event_schema(data: Json) -> Json:
    """The schema of one server-sent event: before OpenAPI 3.2, the schema of a stream is that of its events."""
    encoded = {"type": "string", "contentMediaType": JSON, "contentSchema": data}
    return {"type": "object", "properties": {"id": {"type": "string"}, "data": encoded}, "required": ["id", "data"]}
