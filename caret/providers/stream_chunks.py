"""Parses what providers send while they answer: the chunks of an event stream."""

import json
from collections.abc import Iterator
from typing import Any

import orjson

from models.limits import limit

MAX_CHUNK_BYTES = limit(
    1024 * 1024, "One chunk of a model's answer", area="Replies", beyond="the reply fails", unit="bytes"
)
DONE: dict[str, Any] = {}
"""Stands for the line that ends an answer of Chat Completions."""


class BrokenStream(Exception):  # noqa: N818 (says what is the matter, as Problem does)
    """An answer that ends here. `body` is the provider's own error; None when the format is wrong."""

    def __init__(self, message: str, body: object = None) -> None:
        super().__init__(message)
        self.body = body


class ChunkParser:
    """Finds the chunks in the bytes of an event stream, however these are split."""

    def __init__(self) -> None:
        self._incomplete_line = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The chunks that `data` completes, DONE among them. Raises BrokenStream."""
        *lines, self._incomplete_line = (self._incomplete_line + data).split(b"\n")
        if len(self._incomplete_line) > MAX_CHUNK_BYTES:
            raise BrokenStream("a chunk is too long")
        for line in lines:
            # Comments, names of events and empty lines add nothing to the data.
            if line.startswith(b"data:") and (content := line[5:].strip()):
                yield DONE if content == b"[DONE]" else parse_chunk(content)


def parse_chunk(content: bytes) -> dict[str, Any]:
    try:
        chunk = orjson.loads(content)
    except ValueError:
        chunk = _parse_surrogates(content)
    if not isinstance(chunk, dict):
        raise BrokenStream("a chunk is no object")
    if error := chunk.get("error"):
        message = error.get("message") if isinstance(error, dict) else error
        raise BrokenStream(str(message or "an error in the stream"), error)
    return chunk


def _parse_surrogates(content: bytes) -> Any:
    """Only the standard library accepts half of a surrogate pair as JSON. It becomes a question mark, because neither
    a database nor a provider accepts it."""
    try:
        return orjson.loads(json.dumps(json.loads(content), ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise BrokenStream("a chunk is no JSON") from None
