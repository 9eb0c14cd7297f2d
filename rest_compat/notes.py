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
from rest_compat.errors import input_error
from rest_compat.notes_api import V1
from rest_compat.operations import create_operation, delete_operation, get_operation, list_operation, update_operation
from rest_compat.pagination import MAX_OFFSET
from rest_compat.request import Call
from rest_compat.shapes import Confirmation, NoteResponse, Page

# The ETag of a note begins with its revision, and matches too.
REVISION = re.compile(r'(?:W/)?"(\d{1,18})(?:-[0-9a-f]{16})?"')
VISIBILITIES = {"only-me": NoteVisibility.PRIVATE, "public": NoteVisibility.SHARED}


def _visibility(value: object) -> object:
    return VISIBILITIES.get(value, value) if isinstance(value, str) else value


VisibilityName = Literal["private", "workspace", "shared", "only-me", "public"]
Visibility = Annotated[NoteVisibility, BeforeValidator(_visibility, json_schema_input_type=VisibilityName)]


class NoteBody(NoteDraft):
    visibility: Visibility = NoteVisibility.WORKSPACE


class NoteUpdateBody(NoteChange):
    visibility: Visibility = NoteVisibility.WORKSPACE


def _moment(day_time: time, refine: Callable[[datetime], datetime]) -> Callable[[object], object]:
    """A reader of ISO 8601 text: a date means `day_time` of it in UTC, a moment without a zone is in UTC."""

    def read(value: object) -> datetime:
        text = str(value)
        try:
            return datetime.combine(date.fromisoformat(text), day_time, UTC)
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("must be an ISO 8601 date, or date and time") from None
        return refine(moment if moment.tzinfo else moment.replace(tzinfo=UTC))

    return read


def _end_of_millisecond(moment: datetime) -> datetime:
    # Responses have milliseconds: a caller that sends one back as the end of a range includes that very note.
    return moment + timedelta(microseconds=999 - moment.microsecond % 1000)


def _comma_separated(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] or None if isinstance(value, str) else value


Day = Annotated[
    str,
    Field(
        description="A date and time, or a date in UTC. It means its beginning in `fromDate`, its end in `toDate`.",
        examples=["2026-01-31", "2026-01-31T09:30:00Z"],
    ),
]


class NotesQuery(NoteFilter):
    """The query parameters of the list of notes."""

    model_config = ConfigDict(extra="ignore", strict=False)
    created_from: Annotated[
        When | None,
        BeforeValidator(_moment(time.min, lambda moment: moment), json_schema_input_type=Day),
        Field(alias="fromDate"),
    ] = None
    created_to: Annotated[
        When | None,
        BeforeValidator(_moment(time.max, _end_of_millisecond), json_schema_input_type=Day),
        Field(alias="toDate"),
    ] = None
    tag_ids: Annotated[TagIds | None, BeforeValidator(_comma_separated)] = None
    folder_ids: Annotated[FolderIds | None, BeforeValidator(_comma_separated)] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0
    sort_by: NoteOrderField = NoteOrderField.CREATED_AT
    sort_order: OrderDirection = OrderDirection.DESC


async def page(call: Call, query: NotesQuery) -> Page[shapes.Note]:
    """Lists the notes that the caller may read."""
    order = NoteOrder(field=query.sort_by, direction=query.sort_order)
    rows, is_last = await notes.list_notes_by_offset(call.ctx, query.limit, query.offset, query, order)
    details = await notes.read_details(call.ctx, rows)
    items = [serializers.note(row, details) for row in rows]
    return serializers.page_response(items, query.limit, query.offset, is_last=is_last)


async def create(call: Call, body: NoteBody) -> NoteResponse:
    """Creates a note. With an Idempotency-Key, a repeat returns what the first call created."""
    return await note_response(call.ctx, await notes.create_note(call.ctx, body, call.idempotency_key))


async def get(call: Call) -> NoteResponse:
    """Returns a note."""
    return await note_response(call.ctx, await notes.get_note(call.ctx, call.path_id("Note")))


async def update(call: Call, body: NoteUpdateBody) -> NoteResponse:
    """Changes the fields that are sent. `tagIds`, `participants` and `transcripts` replace what the note has."""
    row = await notes.update_note(call.ctx, call.path_id("Note"), body, if_match(call.request))
    return await note_response(call.ctx, row)


async def delete(call: Call) -> Confirmation:
    """Deletes a note with its conversations, chunks and links to tags."""
    await notes.delete_note(call.ctx, call.path_id("Note"))
    return {"success": True, "message": "Note deleted"}


async def note_response(ctx: Context, row: Record) -> NoteResponse:
    return {"note": serializers.note(row, await notes.read_details(ctx, [row]))}


def if_match(request: Request) -> int | None:
    """The revision in `If-Match: "<revision>"`; None where every revision matches."""
    text = request.headers.get("If-Match", "*").strip()
    if text == "*":
        return None
    match = REVISION.fullmatch(text)
    if match is None:
        raise input_error("value_error", ("header", "If-Match"), 'If-Match must be "<revision>" or *.')
    return int(match[1])


def read_revision(response: NoteResponse) -> int:
    return response["note"]["revision"]


ROUTES = [
    V1.route("/notes", GET=list_operation(page), POST=create_operation(create, read_revision)),
    V1.route(
        "/notes/{id}",
        GET=get_operation(get, read_revision),
        PATCH=update_operation(update, read_revision),
        DELETE=delete_operation(delete),
    ),
]
