"""From GraphQL inputs to the drafts that the resolvers take."""

from dataclasses import fields, is_dataclass
from typing import Any

import strawberry

from resolvers.drafts import DraftType, drafted


def draft(kind: type[DraftType], given: object, *, keep_nulls: bool = False) -> DraftType:
    """The draft of what was sent. On creation a null is as good as nothing; in a change it clears the field."""
    return drafted(kind, values(given, keep_nulls=keep_nulls))


def values(given: Any, *, keep_nulls: bool = False) -> Any:
    if is_dataclass(given):
        pairs = ((field.name, getattr(given, field.name)) for field in fields(given))
        return {
            name: values(value)
            for name, value in pairs
            if value is not strawberry.UNSET and (keep_nulls or value is not None)
        }
    if isinstance(given, list):
        return [values(item) for item in given]
    return given
