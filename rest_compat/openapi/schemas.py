"""The JSON Schemas of the OpenAPI document, made by pydantic."""

from collections.abc import Iterable
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import ModelSchema

Json = dict[str, Any]
PREFIX = "#/components/schemas/"


class PlainJsonSchema(GenerateJsonSchema):
    """Leaves out titles that repeat the name of a field, and the docstrings of models, which are for programmers."""

    def model_schema(self, schema: ModelSchema) -> Json:
        content = super().model_schema(schema)
        content.pop("description", None)
        return content

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (pydantic passes it by name)
        return False


class SchemaRegistry:
    """The schemas of all types, made together so that no two of them get the same name.

    A type comes with its mode, "validation" for requests or "serialization" for responses.
    """

    def __init__(self, shapes: Iterable[tuple[Any, Any]]) -> None:
        inputs = [((shape, mode), mode, TypeAdapter(shape)) for shape, mode in dict.fromkeys(shapes)]
        schemas, shared = TypeAdapter.json_schemas(
            inputs, ref_template=PREFIX + "{model}", schema_generator=PlainJsonSchema
        )
        self._references = {shape: _rename(schema) for (shape, _), schema in schemas.items()}
        self.components: Json = {_readable(name): _rename(part) for name, part in sorted(shared["$defs"].items())}

    def reference(self, shape: Any, mode: str) -> Json:
        """A reference to the schema of a type, or the schema itself where it has no name."""
        return cast(Json, self._references[shape, mode])

    def component(self, shape: Any, mode: str) -> Json:
        """The schema of a named type."""
        return cast(Json, self.components[self.reference(shape, mode)["$ref"].removeprefix(PREFIX)])


def _readable(name: str) -> str:
    """pydantic calls a generic `Page_Note_`."""
    return name.replace("_", "")


def _rename(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _rename(part) for name, part in schema.items()}
    if isinstance(schema, list):
        return [_rename(part) for part in schema]
    return _readable(schema) if isinstance(schema, str) and schema.startswith(PREFIX) else schema
