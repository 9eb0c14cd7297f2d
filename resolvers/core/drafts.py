"""Turns what pydantic found wrong with a draft into the one error that callers see."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from resolvers.core.errors import Problem, bad_input

# Where pydantic's words are about Python, or quote a regular expression.
WORDS = {
    "model_type": "A JSON object is expected.",
    "missing": "This field is required.",
    "extra_forbidden": "This field is unknown.",
    "too_short": "The length must be at least {min_length}.",
    "too_long": "The length must be at most {max_length}.",
    "string_pattern_mismatch": "This has the wrong form.",
}

DraftType = TypeVar("DraftType", bound=BaseModel)


def parse_draft(kind: type[DraftType], values: Mapping[str, Any]) -> DraftType:
    """The draft from a caller's values. Raises BAD_USER_INPUT that names the first bad field in camelCase."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise problem(error) from None


def problem(error: ValidationError) -> Problem:
    first = error.errors(include_url=False, include_input=False)[0]
    return bad_input(path(first), message(first))


def path(detail: ErrorDetails) -> str:
    """The bad field's place in the caller's spelling: `participants.3.email`."""
    return ".".join(str(part) for part in detail["loc"])


def message(detail: ErrorDetails) -> str:
    if words := WORDS.get(detail["type"]):
        return words.format_map(detail.get("ctx", {}))
    text = detail["msg"].removeprefix("Value error, ")
    return f"{text[:1].upper()}{text[1:]}."
