"""Notes with their shares, folders, tags, transcripts and translation, and the JSON of a note.

The functions on notes themselves are exported here; folders and tags have modules of their own.
"""

from resolvers.notes.read import (
    count_notes,
    find_notes,
    find_segments,
    find_tags_of_notes,
    get_note,
    list_notes,
    list_notes_by_offset,
    list_transcripts,
    read_details,
)
from resolvers.notes.shares import find_shares, share_note, unshare_note
from resolvers.notes.write import append_transcript, create_note, delete_note, update_note

__all__ = [
    "append_transcript",
    "count_notes",
    "create_note",
    "delete_note",
    "find_notes",
    "find_segments",
    "find_shares",
    "find_tags_of_notes",
    "get_note",
    "list_notes",
    "list_notes_by_offset",
    "list_transcripts",
    "read_details",
    "share_note",
    "unshare_note",
    "update_note",
]
