"""The switch for introspection: a deployment may keep its schema to those who have it."""

from collections.abc import Iterator

from graphql import NoSchemaIntrospectionCustomRule
from strawberry.extensions import SchemaExtension

from schema.types.base import Request


class Introspection(SchemaExtension):
    """Refuses `__schema` and `__type` where introspection is off; `__typename` is every client's."""

    def on_validate(self) -> Iterator[None]:
        request: Request = self.execution_context.context
        if not request.options.introspection:
            self.execution_context.validation_rules += (NoSchemaIntrospectionCustomRule,)
        yield
