"""What tools are given and give back, as it is told, stored and remembered."""

from collections.abc import Iterator
from typing import Any

from pydantic_ai.messages import ToolReturnPart

from models.base import fits_64_bits, mended

STORED = 16_000
"""Characters of a tool's result that are told and stored with the message; of its arguments four times as many."""
SUMMARY = 120
"""Characters of a result's summary."""
LONGEST_NAME = 100
CUT = " […]"
UNKNOWN = "There is no such tool."
INVALID = "The arguments were not valid."


def name(value: str) -> str:
    """A tool's name as the model has it, which may be none of ours."""
    return mended(value)[:LONGEST_NAME]


def arguments(value: Any) -> Any:
    return bounded(plain(value), 4 * STORED)


def result(part: ToolReturnPart) -> Any:
    """The result of a call as the model gets it, `{"error": …}` where it failed."""
    told = bounded(plain(part.content), STORED)
    return told if part.outcome == "success" else {"error": told}


def summary(part: ToolReturnPart) -> str:
    """The result in a few words for people; a tool gives its own as the metadata of what it returns."""
    if part.outcome == "success":
        return str(part.metadata or part.content)[:SUMMARY]
    if part.retry is not None and part.retry.cause == "unknown_tool":
        return UNKNOWN
    return mended(part.content)[:SUMMARY] if isinstance(part.content, str) else INVALID


def plain(value: Any) -> Any:
    """The value as JSON that the database and the bus keep."""
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, dict):
        return {mended(str(name)): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    return value if isinstance(value, int | float) and fits_64_bits(value) else str(value)


def bounded(value: Any, limit: int) -> Any:
    """The value with its longest strings cut, where all of them together have more than `limit` characters."""
    lengths = [len(text) for text in _strings(value)]
    if sum(lengths) <= limit:
        return value
    return _cut(value, limit // len(lengths))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _cut(value: Any, share: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= share else value[:share] + CUT
    if isinstance(value, dict):
        return {name: _cut(item, share) for name, item in value.items()}
    return [_cut(item, share) for item in value] if isinstance(value, list) else value
