"""`/v1/notes`."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from starlette.requests import Request

from models.base import Record, When
from models.note import NoteChange, NoteDraft, NoteVisibility, TagIds
from models.note_filter import FolderIds, NoteFilter, NoteOrder, NoteOrderField, OrderDirection
from resolvers import notes
from resolvers.core.context import Context
from resolvers.core.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from rest_compat import serializers, shapes
from rest_compat.errors import bad
from rest_compat.notes_api import V1
from rest_compat.operations import changes, makes, reads, removes, shows
from rest_compat.request import Call
from rest_compat.shapes import OneNote, Paged, Removed

MAX_OFFSET = 2**63 - 1
# Also the ETag of a note, which says more than its revision.
REVISION = re.compile(r'(?:W/)?"(\d{1,18})(?:-[0-9a-f]{16})?"')
VISIBILITIES = {"only-me": NoteVisibility.PRIVATE, "public": NoteVisibility.SHARED}


def _visibility(value: object) -> object:
    return VISIBILITIES.get(value, value) if isinstance(value, str) else value


Spelled = Literal["private", "workspace", "shared", "only-me", "public"]
Visibility = Annotated[NoteVisibility, BeforeValidator(_visibility, json_schema_input_type=Spelled)]


class NewNote(NoteDraft):
    visibility: Visibility = NoteVisibility.WORKSPACE


class ChangedNote(NoteChange):
    visibility: Visibility = NoteVisibility.WORKSPACE


def _moment(day_time: time, finer: Callable[[datetime], datetime]) -> Callable[[object], object]:
    """Reads a date, which stands for that time of it in UTC, or a moment, which without a zone is in UTC."""

    def read(value: object) -> datetime:
        text = str(value)
        try:
            return datetime.combine(date.fromisoformat(text), day_time, UTC)
        except ValueError:
            pass
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("must be an ISO 8601 date, or date and time") from None
        return finer(found if found.tzinfo else found.replace(tzinfo=UTC))

    return read


def _whole_millisecond(moment: datetime) -> datetime:
    # A note is shown with milliseconds: a caller who sends that back means this very note too.
    return moment + timedelta(microseconds=999 - moment.microsecond % 1000)


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] or None if isinstance(value, str) else value


Day = Annotated[
    str,
    Field(
        description="A moment, or a date in UTC: as a first one its beginning, as a last one its end.",
        examples=["2026-01-31", "2026-01-31T09:30:00Z"],
    ),
]


class NotesQuery(NoteFilter):
    """What to list, in which order, and which part of it."""

    model_config = ConfigDict(extra="ignore", strict=False)
    created_from: Annotated[
        When | None,
        BeforeValidator(_moment(time.min, lambda moment: moment), json_schema_input_type=Day),
        Field(alias="fromDate"),
    ] = None
    created_to: Annotated[
        When | None,
        BeforeValidator(_moment(time.max, _whole_millisecond), json_schema_input_type=Day),
        Field(alias="toDate"),
    ] = None
    tag_ids: Annotated[TagIds | None, BeforeValidator(_listed)] = None
    folder_ids: Annotated[FolderIds | None, BeforeValidator(_listed)] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0
    sort_by: NoteOrderField = NoteOrderField.CREATED_AT
    sort_order: OrderDirection = OrderDirection.DESC


async def page(call: Call, query: NotesQuery) -> Paged[shapes.Note]:
    """Lists the notes that the caller may read."""
    order = NoteOrder(field=query.sort_by, direction=query.sort_order)
    rows, is_last = await notes.window(call.ctx, query.limit, query.offset, query, order)
    details = await notes.details(call.ctx, rows)
    items = [serializers.note(row, details) for row in rows]
    return serializers.paged(items, query.limit, query.offset, is_last=is_last)


async def create(call: Call, body: NewNote) -> OneNote:
    """Creates a note. An Idempotency-Key makes a repeat answer with what the first call made."""
    return await whole(call.ctx, await notes.create(call.ctx, body, call.idempotency_key))


async def get(call: Call) -> OneNote:
    """A note."""
    return await whole(call.ctx, await notes.get(call.ctx, call.ident("Note")))


async def update(call: Call, body: ChangedNote) -> OneNote:
    """Changes the fields that are sent; `tagIds`, `participants` and `transcripts` are replaced whole."""
    row = await notes.update(call.ctx, call.ident("Note"), body, if_match(call.request))
    return await whole(call.ctx, row)


async def delete(call: Call) -> Removed:
    """Deletes a note with its conversations, chunks and links to tags."""
    await notes.delete(call.ctx, call.ident("Note"))
    return {"success": True, "message": "Note deleted"}


async def whole(ctx: Context, row: Record) -> OneNote:
    return {"note": serializers.note(row, await notes.details(ctx, [row]))}


def if_match(request: Request) -> int | None:
    """The revision that the caller has seen, from `If-Match: "<revision>"`; None where any will do."""
    given = request.headers.get("If-Match", "*").strip()
    if given == "*":
        return None
    found = REVISION.fullmatch(given)
    if found is None:
        raise bad("value_error", ("header", "If-Match"), 'If-Match must be "<revision>" or *.')
    return int(found[1])


def revision(answer: OneNote) -> int:
    return answer["note"]["revision"]


ROUTES = [
    V1.route("/notes", GET=reads(page), POST=makes(create, revision)),
    V1.route("/notes/{id}", GET=shows(get, revision), PATCH=changes(update, revision), DELETE=removes(delete)),
]
