"""What may be written into a note, at each edge of what is allowed."""

import json
from typing import Any

import pytest

from models.note import MAX_PARTICIPANTS, MAX_TAGS, NoteChange, NoteDraft
from models.note_filter import NoteFilter
from models.transcript import MAX_SEGMENTS, MAX_SEGMENTS_PER_APPEND, TranscriptDraft
from resolvers import notes
from resolvers.core.context import Context
from resolvers.core.drafts import parse_draft
from resolvers.core.errors import ErrorCode
from tests.resolvers.helpers import OwnWorkspace, change, refused, spoken, write

PERSON = {"name": "A", "email": "a@b"}
EVENT = {"id": "e", "title": "M", "startsAt": "2026-01-31T09:30:00Z", "endsAt": "2026-01-31T09:30:00Z"}
SEGMENT = spoken("x")[0]
TAG = "00000000-0000-7000-8000-000000000000"
LINES = ["inputLanguage", "translationLanguage", "meetingApp"]
PROSE = ["userWrittenNote", "enhancedNote", "summary", "contentText"]


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "x"},
        {"title": "🙂" * 500},
        *({name: "🙂" * 500_000} for name in PROSE),
        {"meetingApp": "x" * 500},
        {"inputLanguage": "x" * 35},
        {"participants": [PERSON] * MAX_PARTICIPANTS},
        {"participants": [{**PERSON, "email": "é@" + "b" * 318}]},
        {"totalDurationSec": 0},
        {"totalDurationSec": 10_000_000},
        {"transcripts": [{**SEGMENT, "text": "x" * 10_000, "startTimestamp": "00:00:00.123"}]},
        {"transcripts": [{**SEGMENT, "startTimestamp": "9999:59:59"}]},
        {"contentJson": nested(64)},
        {"contentJson": [2**64 - 1, -(2**63), 5e-324, 1e18, 0.1]},
        {"contentJson": False},
        {"calendarEvent": {**EVENT, "attendees": [{"email": "a@b"}] * MAX_PARTICIPANTS}},
        {"calendarEvent": {**EVENT, "startsAt": "0001-01-01T00:00:00Z", "endsAt": "9999-12-31T23:59:59.999999Z"}},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_the_most_that_is_allowed_is_kept(me: Context, fields: dict[str, Any]) -> None:
    note = await write(me, **fields)
    stored = await notes.get_note(me, note.id)
    assert stored._asdict() == note._asdict()
    names = {"contentJson": "content_json", "title": "title", "contentText": "content_text", "summary": "summary"}
    for sent, value in fields.items():
        if sent in names:
            assert getattr(stored, names[sent]) == value


async def test_the_longest_transcript_is_kept(me: Context) -> None:
    note = await write(me, transcripts=[SEGMENT] * MAX_SEGMENTS)
    assert len((await notes.find_segments(me, [note.id]))[note.id]) == MAX_SEGMENTS


async def test_the_most_tags_are_kept(own_workspace: OwnWorkspace) -> None:
    tags = [str(await own_workspace.tag(f"{number:03}")) for number in range(MAX_TAGS)]
    note = await write(own_workspace.ctx, tagIds=tags)
    assert [str(tag.id) for tag in (await notes.find_tags_of_notes(own_workspace.ctx, [note.id]))[note.id]] == tags


async def test_the_longest_texts_full_of_different_words_are_kept_and_found(me: Context) -> None:
    # Postgres refuses a search vector of more than 1 MB; compounds of short words of four bytes make it longest.
    words = (f"{chr(0x20000 + i % 40_000)}-{chr(0x20000 + i * 7 % 40_000)}" for i in range(125_000))
    text = " ".join(words)[:500_000]
    note = await write(me, text[:500], **dict.fromkeys(PROSE, text))
    assert await notes.count_notes(me, parse_draft(NoteFilter, {"search": chr(0x20007)})) == 1
    assert (await change(me, note, summary=text[::-1])).revision == 2


BAD: list[tuple[str, Any]] = [
    ("title", ""),
    ("title", "x" * 501),
    ("title", None),
    ("title", 5),
    ("title", ["x"]),
    ("title", "nul\x00"),
    ("title", "lone \ud800"),
    *((name, "x" * 500_001) for name in PROSE),
    *((name, "\x00") for name in PROSE + LINES),
    *((name, "\udfff") for name in PROSE + LINES),
    *((name, 1.5) for name in PROSE + LINES),
    ("meetingApp", "x" * 501),
    ("inputLanguage", "x" * 36),
    ("kind", "online"),
    ("status", "nothing"),
    ("visibility", 1),
    ("totalDurationSec", -0.1),
    ("totalDurationSec", 10_000_001),
    ("totalDurationSec", float("nan")),
    ("totalDurationSec", float("inf")),
    ("totalDurationSec", "5"),
    ("totalDurationSec", True),
    ("tagIds", [TAG] * (MAX_TAGS + 1)),
    ("tagIds.0", ["not an id"]),
    ("tagIds.0", ["\ud800"]),
    ("tagIds", TAG),
    ("participants", [PERSON] * (MAX_PARTICIPANTS + 1)),
    ("participants.1.email", [PERSON, {**PERSON, "email": "nobody"}]),
    ("participants.0.email", [{**PERSON, "email": "a@b\x00"}]),
    ("participants.0.email", [{**PERSON, "email": "a@" + "b" * 319}]),
    ("participants.0.name", [{"email": "a@b"}]),
    ("participants.0.name", [{**PERSON, "name": "\x00"}]),
    ("participants.0.nick", [{**PERSON, "nick": "x"}]),
    ("transcripts", [SEGMENT] * (MAX_SEGMENTS + 1)),
    ("transcripts.0.text", [{**SEGMENT, "text": "x" * 10_001}]),
    ("transcripts.0.text", [{**SEGMENT, "text": "\x00"}]),
    ("transcripts.0.translation", [{**SEGMENT, "translation": "\ud800"}]),
    ("transcripts.0.speaker", [{**SEGMENT, "speaker": "x" * 501}]),
    *(
        ("transcripts.0.startTimestamp", [{**SEGMENT, "startTimestamp": clock}])
        for clock in ["", "1:00:00", "00:60:00", "00:00:60", "00:00", "00:00:00\n", "00:00:00\x00", "00:00:00.1234"]
    ),
    ("contentJson", nested(65)),
    ("contentJson", {"a": ["\x00"]}),
    ("contentJson", {"\ud800": 1}),
    ("contentJson", 2**64),
    ("contentJson", -(2**63) - 1),
    ("contentJson", float("nan")),
    ("contentJson", [1e300]),
    ("contentJson", -1e19),
    # As text its digits end in …776000, which is beyond.
    ("contentJson", -(2.0**63)),
    ("calendarEvent.startsAt", {**EVENT, "startsAt": "2026-01-31T09:30:00"}),
    ("calendarEvent.startsAt", {**EVENT, "startsAt": "0001-01-01T00:00:00+14:00"}),
    ("calendarEvent.endsAt", {**EVENT, "endsAt": "9999-12-31T23:59:59-14:00"}),
    ("calendarEvent.id", {**EVENT, "id": None}),
    ("calendarEvent.attendees", {**EVENT, "attendees": [{"email": "a@b"}] * (MAX_PARTICIPANTS + 1)}),
    ("folder", "unknown"),
]


@pytest.mark.parametrize(("field", "value"), BAD, ids=[f"{number}-{field}" for number, (field, _) in enumerate(BAD)])
@pytest.mark.parametrize("kind", [NoteDraft, NoteChange])
def test_what_is_not_allowed_is_refused_by_name(kind: type[NoteDraft], field: str, value: object) -> None:
    with refused(ErrorCode.BAD_USER_INPUT, field):
        parse_draft(kind, {"title": "x", field.partition(".")[0]: value})


@pytest.mark.parametrize(
    ("size", "field"),
    [(0, "segments"), (1, None), (MAX_SEGMENTS_PER_APPEND, None), (MAX_SEGMENTS_PER_APPEND + 1, "segments")],
)
def test_segments_of_one_append(size: int, field: str | None) -> None:
    if field is None:
        assert len(parse_draft(TranscriptDraft, {"segments": [SEGMENT] * size}).segments) == size
        return
    with refused(ErrorCode.BAD_USER_INPUT, field):
        parse_draft(TranscriptDraft, {"segments": [SEGMENT] * size})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("search", "x" * 501),
        ("search", "\x00"),
        ("search", "\ud800"),
        ("createdBy", "nobody"),
        ("tagIds", [TAG] * (MAX_TAGS + 1)),
        ("participantEmail", "nobody"),
        ("createdFrom", "2026-01-31"),
        ("createdTo", "9999-12-31T23:59:59-14:00"),
        ("status", "idle"),
    ],
)
def test_what_a_filter_may_not_hold(field: str, value: object) -> None:
    with refused(ErrorCode.BAD_USER_INPUT, field):
        parse_draft(NoteFilter, {field: value})


async def test_every_json_value_comes_back_as_json_can_hold_it(me: Context) -> None:
    value = {"big": 2**64 - 1, "small": -(2**63), "tiny": 5e-324, "huge": 9.2e18, "third": 1 / 3, "": [None, True, {}]}
    note = await notes.get_note(me, (await write(me, contentJson=value)).id)
    assert note.content_json == value
    assert json.loads(json.dumps(note.content_json)) == value
