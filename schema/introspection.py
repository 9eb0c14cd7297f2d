"""The switch for introspection: a deployment may keep its schema to those who have it."""

import re
from collections.abc import Iterator
from typing import Any

from graphql import NoSchemaIntrospectionCustomRule
from strawberry.extensions import SchemaExtension

from schema.types import Request

HINT = re.compile(r" Did you mean .*\?\Z", re.DOTALL)
"""How graphql-core ends the message of an error, where it knows a name that is nearly the one that was sent."""


class Introspection(SchemaExtension):
    """Refuses `__schema` and `__type` where introspection is off; `__typename` is every client's."""

    def on_validate(self) -> Iterator[None]:
        request: Request = self.execution_context.context
        if not request.options.introspection:
            self.execution_context.validation_rules += (NoSchemaIntrospectionCustomRule,)
        yield


def hide_hints(payload: dict[str, Any]) -> None:
    """Takes from the errors of an answer the names that its client has not sent: guess by guess they tell a schema."""
    for error in payload.get("errors", ()):
        error["message"] = HINT.sub("", error["message"])
