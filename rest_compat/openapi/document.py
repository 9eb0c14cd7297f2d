"""The OpenAPI 3.1 document of both families, made from the routes and from the very models that validate."""

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import ModelSchema
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from rest_compat.api import Family, Resource
from rest_compat.headers import CREDENTIALS, ETAG, HEADERS, PARAMETERS, RATE, REFUSED, REQUEST_ID, shown, taken
from rest_compat.openapi import webhook_posts
from rest_compat.openapi.responses import Manner, manner_of, refusals
from rest_compat.operations import Operation

Json = dict[str, Any]
JSON = "application/json"
SCHEMAS = "#/components/schemas/"
PLACE = re.compile(r"\{(\w+)\}")

INTRODUCTION = """Meeting notes and documents over REST: `/v1` is the notes API, `/api/v1/ai` the editor's AI API, which
calls a note a document. The GraphQL API at `/graphql` serves the same data, with subscriptions.

Of a repeated query parameter the last counts. Unknown fields of a body are refused by `/v1` and ignored by
`/api/v1/ai`. Moments are ISO 8601 in UTC."""
MET = {201: "Created.", 204: "Done; there is nothing to say."}


@dataclass(frozen=True, slots=True)
class Described:
    """One method of one route. `path` is the whole one."""

    family: Family
    method: str
    path: str
    operation: Operation

    @property
    def manner(self) -> Manner:
        return manner_of(self.family)

    @property
    def noun(self) -> str:
        """What the operation is about: the name of its endpoint's file."""
        return self.operation.endpoint.__module__.rpartition(".")[2].replace("_", " ").capitalize()

    @property
    def name(self) -> str:
        """`getV1NotesById`: stable as long as the path is."""
        words = re.findall(r"\w+", PLACE.sub(r"by \1", self.path).replace("/api/v1/ai", "/ai").replace("_", " "))
        return self.method.lower() + "".join(word[0].upper() + word[1:] for word in words)

    @property
    def stream(self) -> Any:
        """The class of the response where the answer is a stream."""
        answer = self.operation.answer
        return answer if inspect.isclass(answer) and issubclass(answer, Response) else None

    @property
    def answer(self) -> Any:
        return self.stream.event if self.stream else self.operation.answer

    @property
    def refusals(self) -> list[int]:
        return refusals(self.manner, self.method, self.path, self.operation)

    def shapes(self) -> Iterator[tuple[Any, str]]:
        """Every type that the document must have, as what comes in or as what goes out."""
        yield from ((part, "validation") for part in (self.operation.body, self.operation.query) if part is not None)
        if self.answer is not None:
            yield self.answer, "serialization"
        yield from ((self.manner.error(status), "serialization") for status in self.refusals)


def described(routes: Iterable[BaseRoute]) -> Iterator[Described]:
    """Every method of every route."""
    for mount in (route for route in routes if isinstance(route, Mount)):
        for route in (route for route in mount.routes if isinstance(route, Route)):
            if isinstance(resource := route.endpoint, Resource):
                for method, operation in (resource.operations or {}).items():
                    yield Described(resource.family, method, mount.path + route.path, operation)


def document(routes: Iterable[BaseRoute]) -> Json:
    every = list(described(routes))
    shapes = Shapes([*webhook_posts.shapes(), *(shape for one in every for shape in one.shapes())])
    for one in every:
        if one.method == "PATCH" and one.operation.body is not None:
            # What is not sent is kept: there is no value in its place.
            for field in shapes.whole(one.operation.body, "validation")["properties"].values():
                field.pop("default", None)
    paths: dict[str, Json] = {}
    for one in every:
        paths.setdefault(one.path, {})[one.method.lower()] = operation_of(one, shapes)
    queries = {one.operation.query.__name__ for one in every if one.operation.query}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Caret", "version": version("caret"), "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": noun} for noun in sorted({one.noun for one in every})],
        "paths": paths,
        "webhooks": webhook_posts.webhooks(shapes),
        "components": {
            "schemas": {name: part for name, part in shapes.components.items() if name not in queries},
            "responses": dict(sorted(refused(one, status, shapes) for one in every for status in one.refusals)),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": CREDENTIALS,
        },
    }


class Plain(GenerateJsonSchema):
    """Without a title for every field that only repeats its name, and without what drafts say to their programmers."""

    def model_schema(self, schema: ModelSchema) -> Json:
        told = super().model_schema(schema)
        told.pop("description", None)
        return told

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (pydantic calls it so)
        return False


class Shapes:
    """The JSON Schemas of all types, made together so that no two of them get the same name."""

    def __init__(self, wanted: Iterable[tuple[Any, Any]]) -> None:
        inputs = [((shape, mode), mode, TypeAdapter(shape)) for shape, mode in dict.fromkeys(wanted)]
        made, shared = TypeAdapter.json_schemas(inputs, ref_template=SCHEMAS + "{model}", schema_generator=Plain)
        self._made = {shape: _renamed(schema) for (shape, _), schema in made.items()}
        self.components: Json = {_pleasant(name): _renamed(part) for name, part in sorted(shared["$defs"].items())}

    def of(self, shape: Any, mode: str) -> Json:
        return cast(Json, self._made[shape, mode])

    def whole(self, shape: Any, mode: str) -> Json:
        """The same, not as a reference."""
        return cast(Json, self.components[self.of(shape, mode)["$ref"].removeprefix(SCHEMAS)])


def _pleasant(name: str) -> str:
    """To pydantic a generic's name is `Paged_Note_`."""
    return name.replace("_", "")


def _renamed(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _renamed(part) for name, part in schema.items()}
    if isinstance(schema, list):
        return [_renamed(part) for part in schema]
    return _pleasant(schema) if isinstance(schema, str) and schema.startswith(SCHEMAS) else schema


def operation_of(one: Described, shapes: Shapes) -> Json:
    words = inspect.cleandoc(one.operation.endpoint.__doc__ or "")
    summary, _, rest = words.replace("\n", " ").partition(". ")
    told: Json = {
        "operationId": one.name,
        "tags": [one.noun],
        "summary": summary.removesuffix("."),
        "description": rest,
        "parameters": [*parameters(one, shapes)],
    }
    told = {name: part for name, part in told.items() if part}
    if one.operation.body is not None:
        schema = shapes.of(one.operation.body, "validation")
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    elif one.operation.takes is not None:
        told["requestBody"] = {"required": True, "content": {one.operation.takes: {}}}
    answers = {one.operation.status: success(one, shapes)}
    if one.operation.tagged and one.method == "GET":
        answers[304] = {"description": "The caller has it already.", "headers": shown(ETAG, REQUEST_ID)}
    answers |= {s: {"$ref": f"#/components/responses/{one.manner.response(s)}"} for s in one.refusals}
    told["responses"] = {str(status): answer for status, answer in sorted(answers.items())}
    told["security"] = [{name: []} for name in one.manner.credentials]
    return told


def parameters(one: Described, shapes: Shapes) -> Iterator[Json]:
    for name in PLACE.findall(one.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
    if one.operation.query is not None:
        yield from in_query(shapes.whole(one.operation.query, "validation"))
    told = {
        "Workspace": "apiKey" in one.manner.credentials,
        "IdempotencyKey": one.operation.once,
        "IfNoneMatch": one.operation.tagged and one.method == "GET",
        "IfMatch": one.operation.version is not None and one.method == "PATCH",
        "LastEventId": one.stream is not None and one.method == "GET",
    }
    yield from taken(*(name for name, holds in told.items() if holds))


def in_query(model: Json) -> Iterator[Json]:
    """The fields of a query's model. A null can't be sent there, and what is many is separated by commas."""
    needed = model.get("required", [])
    for name, field in model["properties"].items():
        schema = _not_null(field)
        told = {"name": name, "in": "query", "schema": schema}
        if name in needed:
            told["required"] = True
        if description := schema.pop("description", None):
            told["description"] = description
        yield {**told, "style": "form", "explode": False} if schema.get("type") == "array" else told


def _not_null(schema: Json) -> Json:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {name: part for name, part in schema.items() if name != "anyOf" and (name, part) != ("default", None)}
    if len(kinds) == 1:
        return {**kinds[0], **rest}
    return {**rest, "anyOf": kinds} if kinds else rest


def success(one: Described, shapes: Shapes) -> Json:
    told = {
        "description": MET.get(one.operation.status, "Success."),
        "headers": shown(ETAG if one.operation.tagged else {}, RATE if one.manner.credentials else {}, REQUEST_ID),
    }
    if one.answer is not None:
        schema = shapes.of(one.answer, "serialization")
        told["content"] = {
            one.stream.media_type if one.stream else JSON: {"schema": event(schema) if one.stream else schema}
        }
    return told


def event(data: Json) -> Json:
    """Before OpenAPI 3.2 a stream's schema is that of each of its events."""
    told = {"type": "string", "contentMediaType": JSON, "contentSchema": data}
    return {"type": "object", "properties": {"id": {"type": "string"}, "data": told}, "required": ["id", "data"]}


def refused(one: Described, status: int, shapes: Shapes) -> tuple[str, Json]:
    """A refusal's name and what is told of it, with the family's own words as the example."""
    manner, limits = one.manner, {} if status == 401 else RATE
    content = {
        "schema": shapes.of(manner.error(status), "serialization"),
        "example": manner.example(one.family, status),
    }
    return manner.response(status), {
        "description": " or ".join(f"`{code}`" for code in manner.codes(status)),
        "headers": shown(REFUSED.get(status, {}), limits, REQUEST_ID),
        "content": {JSON: content},
    }
