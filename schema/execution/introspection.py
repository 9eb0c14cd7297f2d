"""The switch for introspection: a deployment may keep its schema private."""

from collections.abc import Iterator

from graphql import NoSchemaIntrospectionCustomRule
from strawberry.extensions import SchemaExtension

from schema.execution.request import Request


class IntrospectionSwitch(SchemaExtension):
    """Refuses `__schema` and `__type` where introspection is off. `__typename` is always allowed."""

    def on_validate(self) -> Iterator[None]:
        request: Request = self.execution_context.context
        if not request.options.introspection:
            self.execution_context.validation_rules += (NoSchemaIntrospectionCustomRule,)
        yield
