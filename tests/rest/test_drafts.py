"""From what callers send to the values that resolvers take, and back to what callers read."""

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from models.conversation import AgentType
from models.note import NoteFields, NoteVisibility
from resolvers.notes import serialization
from resolvers.notes.read import Details
from rest_compat import serializers
from rest_compat.conversations import ConversationBody, MessageBody
from rest_compat.notes import NoteBody, NotesQuery, NoteUpdateBody

ID = UUID("0198aaaa-0000-7000-8000-000000000001")
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def parse_query(**query: str) -> NotesQuery:
    return NotesQuery.model_validate(query, by_alias=True, by_name=False)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("only-me", NoteVisibility.PRIVATE), ("public", NoteVisibility.SHARED), ("shared", NoteVisibility.SHARED)],
)
def test_visibilities_have_older_names(written: str, meant: NoteVisibility) -> None:
    body = f'{{"title": "t", "visibility": "{written}"}}'
    assert NoteBody.model_validate_json(body).visibility is meant
    assert NoteUpdateBody.model_validate_json(body).model_fields_set == {"title", "visibility"}


def test_a_date_means_its_whole_day() -> None:
    query = parse_query(fromDate="2026-01-02", toDate="2026-01-02")
    assert query.created_from == datetime(2026, 1, 2, tzinfo=UTC)
    assert query.created_to == datetime(2026, 1, 2, 23, 59, 59, 999999, UTC)


def test_a_range_includes_the_note_whose_time_it_ends_with() -> None:
    query = parse_query(fromDate=serializers.millis(MOMENT), toDate=serializers.millis(MOMENT))
    assert query.created_from is not None
    assert query.created_to is not None
    assert query.created_from <= MOMENT <= query.created_to < MOMENT + timedelta(milliseconds=1)
    assert parse_query(toDate="2026-01-02T03:04:05.678+02:00").created_to == datetime(2026, 1, 2, 1, 4, 5, 678999, UTC)


def test_lists_are_comma_separated_and_an_empty_list_filters_nothing() -> None:
    assert parse_query(tagIds=f"{ID}, ,{ID}").tag_ids == [ID, ID]
    assert parse_query(tagIds=" ,").tag_ids is None
    assert parse_query(folderIds=f"{ID},").folder_ids == [ID]
    assert parse_query(anything="y").limit == 20


def parse_message(body: str) -> MessageBody:
    return MessageBody.model_validate_json(body, by_alias=True, by_name=False)


@pytest.mark.parametrize("body", ['{"message": "m"}', '{"message": "m", "document_id": null}'])
def test_without_a_document_nothing_is_searched(body: str) -> None:
    message = parse_message(body)
    assert message.note_id is None
    assert "note_id" in message.model_fields_set


def test_a_message_accepts_current_and_older_forms() -> None:
    full = parse_message(
        f'{{"message": "m", "document_id": "{ID}", "agent_type": "analyst", "unknown": 1, "document_context":'
        '{"content_text": "t", "cursor": 5, "selection": {"from": 1, "to": 2, "text": "s", "anchor": 3}}}'
    )
    assert (full.note_id, full.agent_type) == (ID, AgentType.ANALYST)
    assert full.document_context is not None
    assert full.document_context.selection is not None
    assert full.document_context.selection.from_ == 1
    old = parse_message('{"message": "m", "document_context": "t", "agent_type": ["writer"]}')
    assert old.agent_type is None
    assert old.document_context is not None
    assert old.document_context.content_text == "t"


def test_an_empty_title_is_none() -> None:
    body = f'{{"document_id": "{ID}", "title": ""}}'
    assert ConversationBody.model_validate_json(body, by_alias=True, by_name=False).title is None


def test_times_are_serialized_in_utc_with_a_z() -> None:
    local = MOMENT.astimezone(timezone(timedelta(hours=9)))
    assert serializers.millis(local) == "2026-01-02T03:04:05.678Z"
    assert serializers.micros(MOMENT.replace(microsecond=0)) == "2026-01-02T03:04:05.000000Z"


def test_a_serialized_note_has_no_internal_fields() -> None:
    row: Any = SimpleNamespace(
        **dict.fromkeys(NoteFields.model_fields), id=ID, status="idle", revision=1,
        created_at=MOMENT, updated_at=MOMENT,
        participants=[{"name": "Ann", "email": "A@b.c", "email_key": "a@b.c", "account_name": "Co"}],
        calendar_event={"id": "e", "title": "t", "starts_at": "2026-01-02T03:04:05Z",
                        "ends_at": "2026-01-02T03:04:05.5Z", "attendees": [{"self": True, "email": "a@b.c"}]},
    )  # fmt: skip
    note = serializers.note(row, Details({}, {}))
    assert set(note["participants"][0]) == set(serialization.PARTICIPANT)
    assert note["participants"][0]["accountName"] == "Co"
    event = note["calendarEvent"]
    assert event is not None
    assert (event["startsAt"], event["endsAt"]) == ("2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05.500Z")
    assert event["createdAt"] is None
    assert event["attendees"] == [{"self": True, "email": "a@b.c", "displayName": None}]
