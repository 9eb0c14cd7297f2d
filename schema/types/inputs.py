"""Turns GraphQL inputs into the drafts that the resolvers take."""

from typing import Any, Final

import strawberry
from strawberry.types import has_object_definition

from resolvers.core.drafts import DraftType, parse_draft
from schema.types.scalars import CONFIG

NOT_IN_DRAFTS: Final = {"idempotencyKey"}
"""Input fields that are arguments of the mutation and are not written to a row."""
_graphql_name = CONFIG.name_converter.get_graphql_name


def to_draft(kind: type[DraftType], input: object, *, keep_nulls: bool = False) -> DraftType:  # noqa: A002 (GraphQL's name)
    """The draft of an input. On creation a null counts as absent; in a change (`keep_nulls`) it clears the field."""
    return parse_draft(kind, to_values(input, keep_nulls=keep_nulls))


def to_values(value: Any, *, keep_nulls: bool = False) -> Any:
    """The JSON value of an input, without absent fields. Fields have their GraphQL names, which errors quote."""
    if has_object_definition(value):
        fields = value.__strawberry_definition__.fields
        pairs = ((_graphql_name(field), getattr(value, field.python_name)) for field in fields)
        return {
            name: to_values(part)
            for name, part in pairs
            if part is not strawberry.UNSET and (keep_nulls or part is not None) and name not in NOT_IN_DRAFTS
        }
    if isinstance(value, list):
        return [to_values(item) for item in value]
    return value


def idempotency_key(input: Any) -> str | None:  # noqa: A002 (GraphQL's name)
    key: str | None = input.idempotency_key
    return None if key is strawberry.UNSET else key
