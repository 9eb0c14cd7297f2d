"""Notes: reading them, and writing them."""

from resolvers.notes.read import count, details, find, get, page, segments, tags_of, transcripts, window
from resolvers.notes.shares import share, shares_of, unshare
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
    "share",
    "shares_of",
    "tags_of",
    "transcripts",
    "unshare",
    "update",
    "window",
]
