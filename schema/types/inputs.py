"""From GraphQL inputs to the drafts that the resolvers take."""

from typing import Any

import strawberry
from strawberry.types import has_object_definition

from resolvers.core.drafts import DraftType, parse_draft
from schema.types.scalars import CONFIG

ASIDE = {"idempotencyKey"}
"""Sent beside what is to be written, and no part of it."""
spelled = CONFIG.name_converter.get_graphql_name


def draft(kind: type[DraftType], given: object, *, keep_nulls: bool = False) -> DraftType:
    """The draft of what was sent. On creation a null is as good as nothing; in a change it clears the field."""
    return parse_draft(kind, values(given, keep_nulls=keep_nulls))


def values(given: Any, *, keep_nulls: bool = False) -> Any:
    if has_object_definition(given):
        # By the caller's names: the draft's refusals quote them.
        sent = given.__strawberry_definition__.fields
        pairs = ((spelled(field), getattr(given, field.python_name)) for field in sent)
        return {
            name: values(value)
            for name, value in pairs
            if value is not strawberry.UNSET and (keep_nulls or value is not None) and name not in ASIDE
        }
    if isinstance(given, list):
        return [values(item) for item in given]
    return given


def once(given: Any) -> str | None:
    """The idempotency key of an input."""
    key: str | None = given.idempotency_key
    return None if key is strawberry.UNSET else key
