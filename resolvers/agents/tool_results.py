"""The arguments and results of tool calls, as they are published, stored and sent to the model on later turns."""

from collections.abc import Iterator
from typing import Any

from pydantic_ai.messages import ToolReturnPart

from models.base import fits_64_bits, strip_unstorable
from models.limits import limit

MAX_RESULT_CHARACTERS = limit(
    16_000, "A tool's result as it is stored", area="Agents", unit="characters", beyond="its longest texts are cut"
)
MAX_ARGUMENTS_CHARACTERS = limit(
    4 * MAX_RESULT_CHARACTERS,
    "The arguments of a tool call as they are stored",
    area="Agents",
    unit="characters",
    beyond="their longest texts are cut",
)
MAX_SUMMARY_CHARACTERS = 120
MAX_NAME_CHARACTERS = 100
ELLIPSIS = " […]"
UNKNOWN_TOOL = "There is no such tool."
INVALID_ARGUMENTS = "The arguments were not valid."


def clean_name(name: str) -> str:
    """Returns a tool's name to be stored. The model sent it; there may be no such tool."""
    return strip_unstorable(name)[:MAX_NAME_CHARACTERS]


def arguments(value: Any) -> Any:
    """Returns a call's arguments to be stored."""
    return cut_texts(to_json(value), MAX_ARGUMENTS_CHARACTERS)


def result(part: ToolReturnPart) -> Any:
    """Returns a call's result to be stored; `{"error": …}` if the call failed."""
    content = cut_texts(to_json(part.content), MAX_RESULT_CHARACTERS)
    return content if part.outcome == "success" else {"error": content}


def summary(part: ToolReturnPart) -> str:
    """Returns the result in a few words for people. A tool returns them as the metadata of its result."""
    if part.outcome == "success":
        return str(part.metadata or part.content)[:MAX_SUMMARY_CHARACTERS]
    if part.retry is not None and part.retry.cause == "unknown_tool":
        return UNKNOWN_TOOL
    return (
        strip_unstorable(part.content)[:MAX_SUMMARY_CHARACTERS] if isinstance(part.content, str) else INVALID_ARGUMENTS
    )


def to_json(value: Any) -> Any:
    """Returns the value as JSON that the database and the bus can store."""
    if isinstance(value, str):
        return strip_unstorable(value)
    if isinstance(value, dict):
        return {strip_unstorable(str(key)): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    return value if isinstance(value, int | float) and fits_64_bits(value) else str(value)


def cut_texts(value: Any, max_characters: int) -> Any:
    """Returns the value with its longest strings cut, if together they have more than `max_characters`."""
    lengths = [len(text) for text in _strings(value)]
    if sum(lengths) <= max_characters:
        return value
    return _cut(value, max_characters // len(lengths))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _cut(value: Any, share: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= share else value[:share] + ELLIPSIS
    if isinstance(value, dict):
        return {key: _cut(item, share) for key, item in value.items()}
    return [_cut(item, share) for item in value] if isinstance(value, list) else value
