"""The README tells of every setting, and its limits are the ones in force."""

from pathlib import Path

from caret.app import MAX_BODY
from caret.settings import Settings
from models.base import MAX_TEXT
from models.conversation import MAX_CONTEXT, MAX_MESSAGE
from models.note import MAX_PARTICIPANTS, MAX_SEGMENTS, MAX_TAGS, SEGMENTS_PER_CALL
from resolvers.pages import MAX_PAGE, PAGE
from resolvers.search import MAX_HITS, MAX_QUERY
from schema.http import INIT_TIMEOUT, MAX_OPERATIONS
from schema.limits import DocumentLimits

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_every_setting_is_in_the_table() -> None:
    assert [name for name in Settings.model_fields if f"`CARET_{name.upper()}`" not in README] == []


def test_the_limits_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    document = DocumentLimits()
    assert rows["Request body, WebSocket message"] == f"{MAX_BODY // 2**20} MiB"
    assert rows["A GraphQL document"] == (
        f"{document.max_length:,} characters, {document.max_tokens:,} tokens, {document.max_aliases} aliases, "
        f"depth {document.max_depth}, {document.max_selections:,} selections with fragments expanded"
    )
    operations = "Operations on one WebSocket at a time; wait for `connection_init`"
    assert rows[operations] == f"{MAX_OPERATIONS}; {INIT_TIMEOUT.total_seconds():.0f} s"
    assert rows["`first`, `last`, `limit` of a list"] == f"1 to {MAX_PAGE}, default {PAGE}"
    assert rows["Title of a note; each of its long texts"] == f"500; {MAX_TEXT:,} characters"
    segments = "Transcript segments of a note; in one append; characters of one"
    assert rows[segments] == f"{MAX_SEGMENTS:,}; {SEGMENTS_PER_CALL:,}; 10,000"
    assert rows["Participants of a note, attendees of an event; tags of a note"] == f"{MAX_PARTICIPANTS}; {MAX_TAGS}"
    assert rows["A message; document text sent with it"] == f"{MAX_MESSAGE:,}; {MAX_CONTEXT:,} characters"
    assert rows["A search query; hits"] == f"{MAX_QUERY:,} characters; 1 to {MAX_HITS}"
