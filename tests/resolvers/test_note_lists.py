"""Lists of notes: what is in them, in which order, and in which pages."""

import uuid
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import insert

from models import Note
from models.base import Record, new_id
from models.conversation import ConversationDraft
from models.note import NoteKind, NoteStatus, NoteVisibility
from models.note_filter import NoteFilter, NoteOrder, NoteOrderField, OrderDirection
from models.transcript import TranscriptFilter
from resolvers import notes
from resolvers.conversations import conversations
from resolvers.core.context import Context
from resolvers.core.drafts import parse_draft
from resolvers.core.errors import ErrorCode
from resolvers.core.pagination import Page, PageArguments
from tests.resolvers.helpers import (
    OwnWorkspace,
    make_own_workspace,
    page_of,
    refused,
    set_columns,
    spoken,
    statements,
    write,
)
from tests.support.clients import NOBODY

START = datetime(2026, 1, 1, tzinfo=UTC)
ORDERS = [NoteOrder(field=field, direction=direction) for field in NoteOrderField for direction in OrderDirection]
BY_CREATION = NoteOrder()


def named(order: NoteOrder) -> str:
    return f"{order.field}-{order.direction}"


async def listed(
    ctx: Context, by: NoteOrder = BY_CREATION, wanted: dict[str, Any] | None = None, **window: Any
) -> Page:
    return await notes.list_notes(ctx, PageArguments(**window), parse_draft(NoteFilter, wanted or {}), by)


def ids(rows: Any) -> list[uuid.UUID]:
    return [row.id for row in rows]


@pytest.fixture(scope="module")
async def filled(ctx: Context) -> tuple[OwnWorkspace, dict[str, Record]]:
    """Notes that differ in what filters ask for, created a day apart."""
    own_workspace = await make_own_workspace(ctx)
    me, one, two = own_workspace.ctx, await own_workspace.tag("one"), await own_workspace.tag("two")
    other = await own_workspace.member()
    person = {"name": "Ann", "email": "Ann.Lee@Example.com"}
    made = {
        "plain": await write(me, "plain", summary="Über die Heizung in Lissabon"),
        "other": await write(other, "other", visibility=NoteVisibility.SHARED, participants=[person]),
        "tagged": await write(me, "tagged", tagIds=[str(one), str(two)], kind=NoteKind.PODCAST),
        "done": await write(me, "done", tagIds=[str(two)], transcripts=spoken("Heizung")),
        "private": await write(other, "private", visibility=NoteVisibility.PRIVATE, contentText="e-mail heating"),
    }
    for day, note in enumerate(made.values()):
        await set_columns(me, note, created_at=START + timedelta(days=day))
    return own_workspace, made


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["plain", "other", "tagged", "done", "private"]),
    ({"status": NoteStatus.COMPLETED}, ["done"]),
    ({"status": NoteStatus.RECORDING}, []),
    ({"kind": NoteKind.PODCAST}, ["tagged"]),
    ({"visibility": NoteVisibility.SHARED}, ["other"]),
    ({"visibility": NoteVisibility.PRIVATE}, ["private"]),
    ({"createdBy": "OTHER"}, ["other", "private"]),
    ({"createdBy": NOBODY}, []),
    ({"createdFrom": START + timedelta(days=3)}, ["done", "private"]),
    ({"createdFrom": START + timedelta(days=3, microseconds=1)}, ["private"]),
    ({"createdTo": START + timedelta(days=1)}, ["plain", "other"]),
    ({"createdFrom": START, "createdTo": START}, ["plain"]),
    ({"tagIds": ["one"]}, ["tagged"]),
    ({"tagIds": ["two"]}, ["tagged", "done"]),
    ({"tagIds": ["one", "two"]}, ["tagged", "done"]),
    ({"tagIds": ["one"], "kind": NoteKind.ONLINE}, []),
    ({"tagIds": []}, []),
    ({"participantEmail": "ann.lee@example.com"}, ["other"]),
    ({"participantEmail": "ANN.LEE@EXAMPLE.COM"}, ["other"]),
    ({"participantEmail": "lee@example.com"}, []),
    ({"search": "heizung"}, ["plain"]),
    ({"search": "HEIZUNG uber"}, ["plain"]),
    ({"search": "heizung nirgends"}, []),
    ({"search": "e-mail"}, ["private"]),
    ({"search": "tagged"}, ["tagged"]),
    ({"search": "heiz"}, ["plain"]),
    ({"search": "ub heiz"}, ["plain"]),
    ({"search": "eizung"}, []),
    ({"search": "' | & ! ( :* \\ <->"}, []),
    ({"search": "  "}, ["plain", "other", "tagged", "done", "private"]),
    ({"search": ""}, ["plain", "other", "tagged", "done", "private"]),
]


@pytest.mark.parametrize(("wanted", "expected"), FILTERS)
async def test_a_filter_keeps_these(
    filled: tuple[OwnWorkspace, dict[str, Record]], wanted: dict[str, Any], expected: list[str]
) -> None:
    own_workspace, made = filled
    if wanted.get("createdBy") == "OTHER":
        wanted = {"createdBy": str(made["other"].created_by_id)}
    if "tagIds" in wanted:
        wanted = {**wanted, "tagIds": [str(own_workspace.tags[name]) for name in wanted["tagIds"]]}
    page = await listed(own_workspace.ctx, wanted=wanted)
    assert [row.title for row in page.rows] == expected[::-1]
    assert (
        await page.total()
        == len(expected)
        == await notes.count_notes(own_workspace.ctx, parse_draft(NoteFilter, wanted))
    )
    rows, last = await notes.list_notes_by_offset(
        own_workspace.ctx, 100, 0, parse_draft(NoteFilter, wanted), BY_CREATION
    )
    assert (ids(rows), last) == (ids(page.rows), True)


async def test_a_first_date_after_the_last_is_unprocessable(me: Context) -> None:
    wanted = {"createdFrom": START + timedelta(seconds=1), "createdTo": START}
    for call in (listed(me, wanted=wanted), notes.count_notes(me, parse_draft(NoteFilter, wanted))):
        with refused(ErrorCode.UNPROCESSABLE, "createdFrom"):
            await call


async def add(ctx: Context, rows: list[dict[str, Any]]) -> list[Record]:
    """Writes notes as they are, without what else belongs to a new one."""
    usual = {"kind": NoteKind.ONLINE, "status": NoteStatus.IDLE, "visibility": NoteVisibility.WORKSPACE}
    common = {"workspace_id": ctx.viewer.workspace_id, "created_by_id": ctx.viewer.user_id}
    written = insert(Note).values([{"id": new_id(), **usual, **common, **row} for row in rows])
    async with ctx.transaction() as tx:
        return list((await tx.execute(written.returning(Note))).all())


@pytest.fixture
async def tied(me: Context) -> list[Record]:
    """Twelve notes, of which always three are equal by every key."""
    rows = []
    for number in range(12):
        since = timedelta(hours=number // 3)
        rows.append({"title": f"Title {number // 3}", "created_at": START + since, "updated_at": START - since})
    return await add(me, rows)


def in_order(made: list[Record], by: NoteOrder) -> list[uuid.UUID]:
    column = {"createdAt": "created_at", "updatedAt": "updated_at", "title": "title"}[by.field.value]
    descending = by.direction is OrderDirection.DESC
    return ids(sorted(made, key=lambda row: (getattr(row, column), row.id), reverse=descending))


async def forward(ctx: Context, by: NoteOrder, size: int) -> AsyncIterator[Page]:
    after = None
    while True:
        page = await listed(ctx, by, first=size, after=after)
        yield page
        if not page.has_next:
            return
        after = page.cursor(page.rows[-1])


async def backward(ctx: Context, by: NoteOrder, size: int) -> AsyncIterator[Page]:
    before = None
    while True:
        page = await listed(ctx, by, last=size, before=before)
        yield page
        if not page.has_previous:
            return
        before = page.cursor(page.rows[0])


@pytest.mark.parametrize("size", [1, 4, 5, 12, 100])
async def test_pages_are_the_list_in_order(me: Context, tied: list[Record], size: int) -> None:
    for by in ORDERS:
        expected = in_order(tied, by)
        pages = [page async for page in forward(me, by, size)]
        assert [row for page in pages for row in ids(page.rows)] == expected
        assert [len(page.rows) for page in pages] == [min(size, 12 - start) for start in range(0, 12, size)]
        assert [page.has_previous for page in pages] == [False] + [True] * (len(pages) - 1)
        back = [page async for page in backward(me, by, size)]
        assert [row for page in back[::-1] for row in ids(page.rows)] == expected
        assert [page.has_next for page in back] == [False] + [True] * (len(back) - 1)
        windows = [
            await notes.list_notes_by_offset(me, size, offset, NoteFilter(), by) for offset in range(0, 12, size)
        ]
        assert [row for rows, _ in windows for row in ids(rows)] == expected
        assert [last for _, last in windows] == [False] * (len(windows) - 1) + [True]


@pytest.mark.parametrize("by", ORDERS, ids=named)
@pytest.mark.parametrize("way", [forward, backward])
async def test_paging_sees_each_row_once_while_others_are_inserted(
    me: Context, tied: list[Record], by: NoteOrder, way: Any
) -> None:
    seen: list[uuid.UUID] = []
    async for page in way(me, by, 2):
        seen += ids(page.rows if way is forward else page.rows[::-1])
        # One before all, one among them, one behind all; not for ever, else there is always a next page.
        if len(seen) < 16:
            hours = {"A": -9, "Title 1": 1, "Z": 99}
            since = {title: timedelta(hours=number) for title, number in hours.items()}
            await add(me, [{"title": t, "created_at": START + s, "updated_at": START - s} for t, s in since.items()])
    old = set(ids(tied))
    expected = in_order(tied, by) if way is forward else in_order(tied, by)[::-1]
    assert len(set(seen)) == len(seen)
    assert [row for row in seen if row in old] == expected


async def test_a_window_between_two_cursors(me: Context, tied: list[Record]) -> None:
    expected = in_order(tied, BY_CREATION)
    whole = await listed(me)
    after, before = (whole.cursor(whole.rows[index]) for index in (2, 9))
    inside = await listed(me, after=after, before=before)
    assert (ids(inside.rows), inside.has_next, inside.has_previous) == (expected[3:9], False, True)
    last = await listed(me, after=after, before=before, last=2)
    assert (ids(last.rows), last.has_next, last.has_previous) == (expected[7:9], True, True)


async def test_a_cursor_outlives_its_row(me: Context, tied: list[Record]) -> None:
    first = await listed(me, first=3)
    await notes.delete_note(me, first.rows[-1].id)
    second = await listed(me, first=3, after=first.cursor(first.rows[-1]))
    assert ids(second.rows) == in_order(tied, BY_CREATION)[3:6]


@pytest.mark.parametrize(
    ("window", "field"),
    [
        ({"first": 0}, "first"),
        ({"first": -1}, "first"),
        ({"first": 101}, "first"),
        ({"last": 0}, "last"),
        ({"last": 101}, "last"),
        ({"first": 1, "last": 1}, "last"),
        ({"first": 2**31}, "first"),
    ],
)
async def test_sizes_that_are_refused(me: Context, window: dict[str, Any], field: str) -> None:
    note = await write(me)
    for call in (
        listed(me, **window),
        page_of(notes.list_transcripts, me, note.id, PageArguments(**window), TranscriptFilter()),
        page_of(conversations.list_conversations, me, note.id, PageArguments(**window)),
    ):
        with refused(ErrorCode.BAD_USER_INPUT, field):
            await call


async def test_sizes_at_the_edge_and_the_usual_one(me: Context) -> None:
    await add(me, [{"title": str(number)} for number in range(101)])
    assert [len((await listed(me, first=size)).rows) for size in (1, 100, None)] == [1, 100, 20]
    assert (await listed(me, last=100)).has_previous


def cursor(*parts: object) -> str:
    return urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


KIND, AT, ID = "note.createdAt.desc", "2026-01-01T00:00:00+00:00", str(uuid.UUID(int=1))
BAD_CURSORS = [
    "",
    "x",
    "é",
    "\ud800",
    "\x00",
    "not a cursor at all",
    "A" * 100_000,
    cursor(),
    cursor(KIND),
    cursor(KIND, AT),
    cursor(KIND, AT, ID, ID),
    cursor("note.createdAt.asc", AT, ID),
    cursor("note.updatedAt.desc", AT, ID),
    cursor("event", 1),
    cursor(KIND, AT, "nobody"),
    cursor(KIND, AT, 1),
    cursor(KIND, 1, ID),
    cursor(KIND, None, ID),
    cursor(KIND, "yesterday", ID),
    cursor(KIND, "2026-01-01T00:00:00", ID),
    cursor(KIND, "2026-01-01", ID),
    cursor(KIND, "0001-01-01T00:00:00+14:00", ID),
    cursor(KIND, "9999-12-31T23:59:59-14:00", ID),
    urlsafe_b64encode(b"[" * 5_000).decode(),
    urlsafe_b64encode(b'{"a": 1}').decode(),
]


@pytest.mark.parametrize("bad", BAD_CURSORS, ids=range(len(BAD_CURSORS)))
@pytest.mark.parametrize("field", ["after", "before"])
async def test_cursors_that_no_list_gave_out(me: Context, bad: str, field: str) -> None:
    with refused(ErrorCode.BAD_USER_INPUT, field):
        await notes.list_notes(
            me, PageArguments(after=bad) if field == "after" else PageArguments(before=bad), NoteFilter(), BY_CREATION
        )


async def test_a_cursor_fits_its_own_order_only(me: Context) -> None:
    note = await write(me, transcripts=spoken("a"))
    talk = await conversations.create_conversation(me, ConversationDraft(note_id=note.id))
    for by in ORDERS:
        page = await listed(me, by)
        view = PageArguments(after=page.cursor(page.rows[0]))
        calls: list[Coroutine[Any, Any, Page]] = [
            *(listed(me, other, after=view.after) for other in ORDERS if other != by),
            page_of(notes.list_transcripts, me, note.id, view, TranscriptFilter()),
            page_of(conversations.list_conversations, me, note.id, view),
            page_of(conversations.list_messages, me, talk.id, view),
        ]
        for call in calls:
            with refused(ErrorCode.BAD_USER_INPUT, "after"):
                await call


@pytest.mark.parametrize("title", ["\x00", "a\x00"])
async def test_a_cursor_with_a_title_that_none_can_have(me: Context, title: str) -> None:
    with refused(ErrorCode.BAD_USER_INPUT, "after"):
        await listed(me, NoteOrder(field=NoteOrderField.TITLE), after=cursor("note.title.desc", title, ID))


@pytest.mark.parametrize("position", [2**31, -(2**31) - 1, 2**63, True, 1.0, "1", None])
async def test_a_cursor_with_a_position_that_no_segment_has(me: Context, position: object) -> None:
    note = await write(me)
    with refused(ErrorCode.BAD_USER_INPUT, "after"):
        await page_of(
            notes.list_transcripts,
            me,
            note.id,
            PageArguments(after=cursor("segment", position, ID)),
            TranscriptFilter(),
        )


async def test_the_total_is_counted_when_it_is_asked_for(me: Context) -> None:
    await write(me)
    with statements(me) as told:
        page = await listed(me)
    assert [" count(" in statement.lower() for statement in told] == [False]
    with statements(me) as told:
        assert await page.total() == 1
    assert ["count(" in statement.lower() for statement in told] == [True]


@pytest.mark.parametrize(
    ("limit", "offset", "field"), [(0, 0, "limit"), (101, 0, "limit"), (-1, 0, "limit"), (1, -1, "offset")]
)
async def test_windows_that_are_refused(me: Context, limit: int, offset: int, field: str) -> None:
    with refused(ErrorCode.BAD_USER_INPUT, field):
        await notes.list_notes_by_offset(me, limit, offset, NoteFilter(), BY_CREATION)


@pytest.mark.parametrize("offset", [2**31 - 1, 2**31, 2**63 - 1])
async def test_a_window_behind_the_end_is_empty(me: Context, offset: int) -> None:
    note = await write(me)
    assert await notes.list_notes_by_offset(me, 1, offset, NoteFilter(), BY_CREATION) == ([], True)
    assert await conversations.list_conversations_by_offset(me, note.id, 1, offset) == ([], 0)
