"""Notes: reading them, and writing them."""

from resolvers.notes.read import count, details, find, get, page, segments, tags_of, transcript, window
from resolvers.notes.write import append_transcript, create, delete, update

__all__ = [
    "append_transcript",
    "count",
    "create",
    "delete",
    "details",
    "find",
    "get",
    "page",
    "segments",
    "tags_of",
    "transcript",
    "update",
    "window",
]
