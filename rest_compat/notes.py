"""`/v1/notes`."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from models.base import Record, When
from models.note import (
    NoteChange,
    NoteDraft,
    NoteFilter,
    NoteOrder,
    NoteOrderField,
    NoteVisibility,
    OrderDirection,
    TagIds,
)
from resolvers import notes
from resolvers.context import Context
from resolvers.pages import MAX_PAGE, PAGE
from rest_compat import present
from rest_compat.call import Call, reply
from rest_compat.notes_api import V1
from rest_compat.refusals import bad

MAX_OFFSET = 2**63 - 1
REVISION = re.compile(r'(?:W/)?"(\d{1,18})"')
VISIBILITIES = {"only-me": NoteVisibility.PRIVATE, "public": NoteVisibility.SHARED}


def _visibility(value: object) -> object:
    return VISIBILITIES.get(value, value) if isinstance(value, str) else value


Visibility = Annotated[NoteVisibility, BeforeValidator(_visibility)]


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


class NotesQuery(NoteFilter):
    """What to list, in which order, and which part of it."""

    model_config = ConfigDict(extra="ignore", strict=False)
    created_from: Annotated[
        When | None, BeforeValidator(_moment(time.min, lambda moment: moment)), Field(alias="fromDate")
    ] = None
    created_to: Annotated[
        When | None, BeforeValidator(_moment(time.max, _whole_millisecond)), Field(alias="toDate")
    ] = None
    tag_ids: Annotated[TagIds | None, BeforeValidator(_listed)] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = PAGE
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0
    sort_by: NoteOrderField = NoteOrderField.CREATED_AT
    sort_order: OrderDirection = OrderDirection.DESC


async def page(call: Call) -> Response:
    query = call.asked(NotesQuery)
    order = NoteOrder(field=query.sort_by, direction=query.sort_order)
    rows, is_last = await notes.window(call.ctx, query.limit, query.offset, query, order)
    details = await notes.details(call.ctx, rows)
    items = [present.note(row, details) for row in rows]
    return reply(present.paged(items, query.limit, query.offset, is_last=is_last))


async def create(call: Call) -> Response:
    row = await notes.create(call.ctx, call.sent(NewNote))
    return reply(await whole(call.ctx, row), 201)


async def get(call: Call) -> Response:
    row = await notes.get(call.ctx, call.ident("Note"))
    return reply(await whole(call.ctx, row))


async def update(call: Call) -> Response:
    note_id, change, revision = call.ident("Note"), call.sent(ChangedNote), if_match(call.request)
    row = await notes.update(call.ctx, note_id, change, revision)
    return reply(await whole(call.ctx, row))


async def delete(call: Call) -> Response:
    await notes.delete(call.ctx, call.ident("Note"))
    return reply({"success": True, "message": "Note deleted"})


async def whole(ctx: Context, row: Record) -> dict[str, Any]:
    return {"note": present.note(row, await notes.details(ctx, [row]))}


def if_match(request: Request) -> int | None:
    """The revision that the caller has seen, from `If-Match: "<revision>"`; None where any will do."""
    given = request.headers.get("If-Match", "*").strip()
    if given == "*":
        return None
    found = REVISION.fullmatch(given)
    if found is None:
        raise bad("value_error", ("header", "If-Match"), 'If-Match must be "<revision>" or *.')
    return int(found[1])


ROUTES = [V1.route("/notes", GET=page, POST=create), V1.route("/notes/{id}", GET=get, PATCH=update, DELETE=delete)]
