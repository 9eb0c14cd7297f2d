"""Parses callers' input into drafts, and renders pydantic's errors as BAD_USER_INPUT."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from resolvers.core.errors import Problem, bad_input

# Our texts where pydantic's speak of Python or quote a regular expression.
ERROR_TEXTS = {
    "model_type": "A JSON object is expected.",
    "missing": "This field is required.",
    "extra_forbidden": "This field is unknown.",
    "too_short": "The length must be at least {min_length}.",
    "too_long": "The length must be at most {max_length}.",
    "string_pattern_mismatch": "This has the wrong form.",
}

DraftType = TypeVar("DraftType", bound=BaseModel)


def parse_draft(kind: type[DraftType], values: Mapping[str, Any]) -> DraftType:
    """Makes a draft from a caller's values. Raises BAD_USER_INPUT, with the first wrong field in camelCase."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise to_problem(error) from None


def to_problem(error: ValidationError) -> Problem:
    first = error.errors(include_url=False, include_input=False)[0]
    return bad_input(field_path(first), error_text(first))


def field_path(detail: ErrorDetails) -> str:
    """The path of the wrong field, as the caller spells it: `participants.3.email`."""
    return ".".join(str(part) for part in detail["loc"])


def error_text(detail: ErrorDetails) -> str:
    if text := ERROR_TEXTS.get(detail["type"]):
        return text.format_map(detail.get("ctx", {}))
    text = detail["msg"].removeprefix("Value error, ")
    return f"{text[:1].upper()}{text[1:]}."
