"""Writing a note and reading it back."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text
from sqlmodel import SQLModel, col

from models import Conversation, DocumentEmbedding, Event, Message, NoteTag, TranscriptSegment
from models.base import Record
from models.conversation import ConversationDraft, MessageRole, MessageState
from models.note import NoteKind, NoteStatus, NoteVisibility
from models.transcript import TranscriptFilter
from resolvers import notes
from resolvers.conversations import conversations
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.pagination import PageArguments
from resolvers.search import indexing
from tests.resolvers.helpers import (
    OwnWorkspace,
    append,
    change,
    make_own_workspace,
    page_of,
    refused,
    set_columns,
    spoken,
    write,
)
from tests.support.note_defaults import COLUMN_DEFAULTS

EMPTY: dict[str, Any] = {
    **COLUMN_DEFAULTS,
    "kind": NoteKind.ONLINE,
    "status": NoteStatus.IDLE,
    "visibility": NoteVisibility.WORKSPACE,
    "revision": 1,
    "participants": [],
    "calendar_event": None,
    "total_duration_sec": 0.0,
    "user_written_note": "",
    "enhanced_note": "",
    "summary": "",
    "content_text": "",
    "content_json": None,
    "input_language": None,
    "translation_language": None,
    "meeting_app": None,
    "folder_id": None,
    "index_wanted": 1,
    "index_done": 0,
    "index_after": None,
    "index_failures": 0,
    "indexed_at": None,
    "chunk_count": 0,
}
MADE = {"id", "workspace_id", "created_by_id", "created_at", "updated_at", "title"}
PERSON = {"name": "Ann", "email": "Ann@Example.com"}
EVENT = {"id": "e", "title": "Meeting", "startsAt": "2026-01-31T09:30:00Z", "endsAt": "2026-01-31T10:30:00+01:00"}
FULL: dict[str, Any] = {
    "title": "Übersicht 🙂",
    "kind": NoteKind.PODCAST,
    "visibility": NoteVisibility.SHARED,
    "status": NoteStatus.SUMMARIZING,
    "userWrittenNote": "mine\n\tand more",
    "enhancedNote": "enhanced",
    "summary": "summary",
    "contentText": "text",
    "contentJson": {"type": "doc", "content": [1, 2.5, True, None, "", {"é": []}]},
    "participants": [PERSON],
    "transcripts": spoken("One.", "Two."),
    "calendarEvent": EVENT,
    "totalDurationSec": 12.5,
    "inputLanguage": "de",
    "translationLanguage": "en-GB",
    "meetingApp": "Zoom",
}


def shown(row: Record, *without: str) -> dict[str, Any]:
    return {name: value for name, value in row._asdict().items() if name not in {*MADE, *without}}


async def texts(ctx: Context, note: Record) -> list[str]:
    return [segment.text for segment in (await notes.find_segments(ctx, [note.id])).get(note.id, [])]


async def types(ctx: Context, note: Record) -> list[str]:
    """The events about a note, in order."""
    query = select(col(Event.type)).where(col(Event.note_id) == note.id).order_by(col(Event.seq))
    async with ctx.read() as tx:
        return [row.type.value for row in await tx.execute(query)]


async def rows(ctx: Context, table: type[SQLModel], **wanted: object) -> int:
    async with ctx.read() as tx:
        query = select(func.count()).select_from(table).filter_by(**wanted)
        return int((await tx.execute(query)).scalar_one())


async def test_a_new_note_has_these_defaults(me: Context) -> None:
    note = await write(me, "A")
    assert shown(note) == EMPTY
    assert (note.title, note.workspace_id, note.created_by_id) == ("A", me.viewer.workspace_id, me.viewer.user_id)
    assert note.created_at == note.updated_at
    assert abs((datetime.now(UTC) - note.created_at).total_seconds()) < 60
    assert (await notes.get_note(me, note.id))._asdict() == note._asdict()


async def test_every_field_is_kept_as_it_was_written(own_workspace: OwnWorkspace) -> None:
    me, tags = own_workspace.ctx, [await own_workspace.tag("b"), await own_workspace.tag("a")]
    note = await write(me, **FULL, tagIds=[str(tag) for tag in tags])
    expected = {
        **EMPTY,
        "kind": NoteKind.PODCAST,
        "visibility": NoteVisibility.SHARED,
        "status": NoteStatus.SUMMARIZING,
        "user_written_note": "mine\n\tand more",
        "enhanced_note": "enhanced",
        "summary": "summary",
        "content_text": "text",
        "content_json": FULL["contentJson"],
        "participants": [
            {
                "name": "Ann",
                "email": "Ann@Example.com",
                "email_key": "ann@example.com",
                **dict.fromkeys(["profile_image_url", "account_name", "account_domain", "account_image_url"]),
            }
        ],
        "calendar_event": {
            "id": "e",
            "title": "Meeting",
            "href": None,
            "starts_at": "2026-01-31T09:30:00Z",
            "ends_at": "2026-01-31T09:30:00Z",
            "calendar_id": None,
            "attendees": [],
            "created_at": None,
            "updated_at": None,
        },
        "total_duration_sec": 12.5,
        "input_language": "de",
        "translation_language": "en-GB",
        "meeting_app": "Zoom",
    }
    stored = await notes.get_note(me, note.id)
    assert (shown(note), shown(stored), stored.title) == (expected, expected, FULL["title"])
    assert await texts(me, note) == ["One.", "Two."]
    assert [tag.name for tag in (await notes.find_tags_of_notes(me, [note.id]))[note.id]] == ["a", "b"]


@pytest.mark.parametrize(
    ("fields", "status", "events"),
    [
        ({}, NoteStatus.IDLE, ["note.created"]),
        ({"transcripts": []}, NoteStatus.IDLE, ["note.created"]),
        ({"transcripts": spoken("Hi")}, NoteStatus.COMPLETED, ["note.created", "note.completed"]),
        ({"transcripts": spoken("Hi"), "status": NoteStatus.RECORDING}, NoteStatus.RECORDING, ["note.created"]),
        ({"status": NoteStatus.COMPLETED}, NoteStatus.COMPLETED, ["note.created", "note.completed"]),
        ({"status": None}, NoteStatus.IDLE, ["note.created"]),
    ],
)
async def test_a_new_notes_status(me: Context, fields: dict[str, Any], status: NoteStatus, events: list[str]) -> None:
    note = await write(me, **fields)
    assert (note.status, await types(me, note)) == (status, events)


@pytest.mark.parametrize(
    ("sent", "column", "value", "reindexed"),
    [
        ({"title": "B"}, "title", "B", True),
        ({"kind": NoteKind.IN_PERSON}, "kind", NoteKind.IN_PERSON, False),
        ({"visibility": NoteVisibility.PRIVATE}, "visibility", NoteVisibility.PRIVATE, False),
        ({"status": NoteStatus.RECORDING}, "status", NoteStatus.RECORDING, False),
        ({"userWrittenNote": ""}, "user_written_note", "", True),
        ({"enhancedNote": "new"}, "enhanced_note", "new", True),
        ({"summary": "new"}, "summary", "new", True),
        ({"contentText": "new"}, "content_text", "new", True),
        ({"contentJson": None}, "content_json", None, False),
        ({"contentJson": [1]}, "content_json", [1], False),
        ({"participants": []}, "participants", [], False),
        ({"calendarEvent": None}, "calendar_event", None, False),
        ({"totalDurationSec": 0.0}, "total_duration_sec", 0.0, False),
        ({"inputLanguage": None}, "input_language", None, False),
        ({"translationLanguage": None}, "translation_language", None, False),
        ({"meetingApp": None}, "meeting_app", None, False),
    ],
)
async def test_a_change_keeps_all_that_was_not_sent(
    me: Context, sent: dict[str, Any], column: str, value: object, reindexed: bool
) -> None:
    note = await write(me, **FULL)
    changed = await change(me, note, **sent)
    expected = {**note._asdict(), column: value, "revision": 2, "index_wanted": 1 + reindexed}
    assert {**changed._asdict(), "updated_at": note.updated_at} == expected
    assert changed.updated_at > note.updated_at
    assert await texts(me, note) == ["One.", "Two."]
    assert await types(me, note) == ["note.created", "note.updated"]


async def test_lists_are_replaced_whole(own_workspace: OwnWorkspace) -> None:
    me, old, new = own_workspace.ctx, await own_workspace.tag("old"), await own_workspace.tag("new")
    note = await write(me, tagIds=[str(old)], transcripts=spoken("a", "b"))
    await change(me, note, tagIds=[str(new), str(new)], transcripts=spoken("c"))
    assert [tag.id for tag in (await notes.find_tags_of_notes(me, [note.id]))[note.id]] == [new]
    assert await texts(me, note) == ["c"]
    changed = await change(me, note, tagIds=[], transcripts=[])
    assert (await notes.find_tags_of_notes(me, [note.id]), await texts(me, note)) == ({}, [])
    assert (changed.revision, changed.index_wanted) == (3, 3)


@pytest.mark.parametrize("field", [name for name in FULL if name != "title"])
async def test_null_clears_what_may_be_null_and_is_refused_elsewhere(me: Context, field: str) -> None:
    note = await write(me, **FULL)
    if field in {"contentJson", "calendarEvent", "inputLanguage", "translationLanguage", "meetingApp"}:
        assert (await change(me, note, **{field: None})).revision == 2
        return
    with refused(ErrorCode.BAD_USER_INPUT, field):
        await change(me, note, **{field: None})
    assert (await notes.get_note(me, note.id))._asdict() == note._asdict()


async def test_completed_is_told_once(me: Context) -> None:
    note = await write(me)
    for status in (NoteStatus.COMPLETED, NoteStatus.COMPLETED, NoteStatus.IDLE, NoteStatus.COMPLETED):
        await change(me, note, status=status)
    told = [kind for kind in await types(me, note) if kind == "note.completed"]
    assert len(told) == 2


async def test_an_unknown_tag_is_unprocessable_and_nothing_is_written(
    own_workspace: OwnWorkspace, ctx: Context
) -> None:
    me, tag = own_workspace.ctx, await own_workspace.tag("mine")
    note = await write(me, tagIds=[str(tag)])
    foreign = await (await make_own_workspace(ctx)).tag("theirs")
    for unknown in (foreign, uuid.uuid4()):
        with refused(ErrorCode.UNPROCESSABLE, "tagIds"):
            await write(me, tagIds=[str(tag), str(unknown)])
        with refused(ErrorCode.UNPROCESSABLE, "tagIds"):
            await change(me, note, title="lost", tagIds=[str(unknown)])
    assert (await notes.get_note(me, note.id))._asdict() == note._asdict()
    assert await rows(me, NoteTag, workspace_id=me.viewer.workspace_id) == 1


async def test_if_revision(me: Context) -> None:
    note = await write(me)
    assert (await change(me, note, 1, title="B")).revision == 2
    for stale in (1, 3, 0, -1, 10**17):
        with refused(ErrorCode.STALE_REVISION):
            await change(me, note, stale, title="C")
    assert (await change(me, note, 2, title="C")).revision == 3
    assert (await change(me, note, title="D")).revision == 4


async def test_of_two_changes_from_one_revision_one_wins(me: Context) -> None:
    note = await write(me)
    changes = (change(me, note, 1, title=title, summary=title) for title in "BCDEFGHI")
    done = await asyncio.gather(*changes, return_exceptions=True)
    won = [one for one in done if not isinstance(one, BaseException)]
    lost = [one.code for one in done if isinstance(one, Problem)]
    stored = await notes.get_note(me, note.id)
    assert [row._asdict() for row in won] == [stored._asdict()]
    assert (lost, stored.revision, stored.title) == ([ErrorCode.STALE_REVISION] * 7, 2, stored.summary)


async def test_appends_at_once_are_whole_and_in_a_row(me: Context) -> None:
    note = await write(me, transcripts=spoken("first"))
    batches = [[f"{batch}.{i}" for i in range(20)] for batch in range(10)]
    done = await asyncio.gather(*(append(me, note, *batch) for batch in batches))
    assert sorted(row.revision for row in done) == list(range(2, 12))
    said = await texts(me, note)
    # In the order in which their revisions were given out.
    in_order = [batch for _, batch in sorted(zip((row.revision for row in done), batches, strict=True))]
    assert said == ["first", *(said_then for batch in in_order for said_then in batch)]
    read: list[str] = []
    after = None
    while True:
        page = await page_of(
            notes.list_transcripts, me, note.id, PageArguments(first=30, after=after), TranscriptFilter()
        )
        read += [row.text for row in page.rows]
        if not page.has_next:
            break
        after = page.cursor(page.rows[-1])
    assert (read, await page.total()) == (said, 201)


async def test_updated_at_never_goes_back(me: Context) -> None:
    note = await write(me)
    done = await asyncio.gather(*(change(me, note, title=str(i)) for i in range(12)))
    in_order = sorted(done, key=lambda row: row.revision)
    assert in_order == sorted(done, key=lambda row: (row.updated_at, row.revision))


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("budget", ["The Budget is 100%_ fine."]),
        ("100%", ["The Budget is 100%_ fine."]),
        ("0%_", ["The Budget is 100%_ fine."]),
        ("%", ["The Budget is 100%_ fine."]),
        ("nothing", []),
        ("", ["The Budget is 100%_ fine.", "Hello."]),
        (None, ["The Budget is 100%_ fine.", "Hello."]),
    ],
)
async def test_a_transcript_is_searched_for_the_very_text(me: Context, search: str | None, found: list[str]) -> None:
    note = await write(me, transcripts=spoken("The Budget is 100%_ fine.", "Hello."))
    page = await page_of(notes.list_transcripts, me, note.id, PageArguments(), TranscriptFilter(search=search))
    assert ([row.text for row in page.rows], await page.total()) == (found, len(found))


async def test_delete_takes_all_that_belongs_to_the_note(own_workspace: OwnWorkspace) -> None:
    me = own_workspace.ctx
    note = await write(me, transcripts=spoken("a"), tagIds=[str(await own_workspace.tag("t"))])
    await indexing.index(me, note.id, "Some text.")
    talk = await conversations.create_conversation(me, ConversationDraft(note_id=note.id))
    async with me.transaction() as tx:
        message = {"workspace_id": me.viewer.workspace_id, "conversation_id": talk.id, "state": MessageState.DONE}
        await tx.execute(insert(Message).values(**message, role=MessageRole.USER, content="Hi"))
    belongings: list[tuple[type[SQLModel], dict[str, object]]] = [
        (NoteTag, {"note_id": note.id}),
        (TranscriptSegment, {"note_id": note.id}),
        (DocumentEmbedding, {"document_id": note.id}),
        (Conversation, {"note_id": note.id}),
        (Message, {"conversation_id": talk.id}),
    ]
    assert [await rows(me, table, **wanted) for table, wanted in belongings] == [1] * 5
    await notes.delete_note(me, note.id)
    assert [await rows(me, table, **wanted) for table, wanted in belongings] == [0] * 5
    assert (await types(me, note))[-1] == "note.deleted"
    for gone in (
        notes.get_note(me, note.id),
        notes.delete_note(me, note.id),
        change(me, note, title="B"),
        append(me, note, "x"),
    ):
        with refused(ErrorCode.NOT_FOUND):
            await gone


async def test_a_transcript_that_is_full_takes_no_more(me: Context) -> None:
    note = await write(me)
    async with me.transaction() as tx:
        await tx.execute(
            text(
                "INSERT INTO transcript_segments (id, workspace_id, note_id, position, speaker, text, start_timestamp,"
                " end_timestamp) SELECT gen_random_uuid(), :workspace, :note, n, 'A', 'x', '00:00:00', '00:00:01'"
                " FROM generate_series(1, 9999) n"
            ),
            {"workspace": me.viewer.workspace_id, "note": note.id},
        )
    with refused(ErrorCode.UNPROCESSABLE, "segments"):
        await append(me, note, "10,000", "10,001")
    assert (await append(me, note, "10,000")).revision == 2
    with refused(ErrorCode.UNPROCESSABLE, "segments"):
        await append(me, note, "10,001")
    assert (await notes.get_note(me, note.id)).revision == 2


async def test_what_kept_the_old_text_waiting_does_not_keep_the_new_one(me: Context) -> None:
    note = await write(me)
    later = datetime(2999, 1, 1, tzinfo=UTC)
    await set_columns(me, note, index_after=later, index_failures=9, index_content="handed in")
    kept = await change(me, note, kind=NoteKind.PODCAST)
    assert (kept.index_wanted, kept.index_after, kept.index_failures) == (1, later, 9)
    fresh = await change(me, note, summary="new")
    assert (fresh.index_wanted, fresh.index_after, fresh.index_failures) == (2, None, 0)
