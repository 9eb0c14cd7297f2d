"""Reads notes that the viewer may see, with only the columns that were requested."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Executable, Select, and_, exists, func, select
from sqlmodel import col

from models import Folder, Note, NoteTag, TranscriptSegment
from models.base import Record
from models.note_filter import NoteFilter, NoteOrder, NoteOrderField, OrderDirection
from models.transcript import TranscriptFilter
from resolvers.auth import access
from resolvers.auth.access import Right
from resolvers.core import pagination
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem, not_found
from resolvers.core.nested_pages import Pages, checked_before, read_pages
from resolvers.core.pagination import Order, Page, PageArguments, check_limit_and_offset
from resolvers.notes import serialization

INTERNAL_COLUMNS = {"words", "index_content", "embedder", "translate_after", "translate_failures"}
COLUMNS = frozenset(Note.__table__.columns.keys()) - INTERNAL_COLUMNS  # type: ignore[attr-defined]  # set on table classes
ALWAYS_READ = frozenset({"id", "workspace_id", "created_at", "updated_at", "title"})
"""Columns that are always read, because the cursors of lists are made of them."""

BY_POSITION = Order("segment", col(TranscriptSegment.position), col(TranscriptSegment.id))
SORTED_BY = {
    NoteOrderField.CREATED_AT: col(Note.created_at),
    NoteOrderField.UPDATED_AT: col(Note.updated_at),
    NoteOrderField.TITLE: col(Note.title),
}


def note_columns(requested: Collection[str] | None) -> list[Any]:
    """The columns to read for the requested names. None stands for all but the internal ones."""
    names = COLUMNS if requested is None else ALWAYS_READ | (COLUMNS & set(requested))
    return [getattr(Note, name) for name in sorted(names)]


async def get_note(ctx: Context, note_id: UUID, requested: Collection[str] | None = None) -> Record:
    async with ctx.read() as tx:
        await access.require_note(tx, ctx.viewer, note_id, Right.READ)
        row = (await tx.execute(select(*note_columns(requested)).where(col(Note.id) == note_id))).one_or_none()
    if row is None:  # deleted since the right was checked
        raise not_found("Note", note_id)
    return row


async def find_notes(
    ctx: Context, note_ids: Iterable[UUID], requested: Collection[str] | None = None
) -> dict[UUID, Record]:
    """The notes with these ids that the viewer may read, by id."""
    access.require_scope(ctx.viewer, "notes")
    query = select(*note_columns(requested)).where(
        col(Note.id).in_(list(note_ids)), access.note_readable_by(ctx.viewer)
    )
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


def visible_matches(ctx: Context, filters: NoteFilter) -> ColumnElement[bool]:
    """The condition for the notes of the viewer's workspace that they may read and that match the filter."""
    return and_(
        col(Note.workspace_id) == ctx.viewer.workspace_id,
        access.note_readable_by(ctx.viewer),
        *filter_conditions(ctx, filters),
    )


def filter_conditions(ctx: Context, filters: NoteFilter) -> list[ColumnElement[bool]]:
    """The conditions for the notes of any workspace that match the filter."""
    conditions: list[ColumnElement[bool]] = []
    equal = {
        "status": filters.status,
        "kind": filters.kind,
        "visibility": filters.visibility,
        "created_by_id": filters.created_by,
    }
    conditions.extend(getattr(Note, name) == value for name, value in equal.items() if value is not None)
    if filters.created_from is not None:
        conditions.append(col(Note.created_at) >= filters.created_from)
    if filters.created_to is not None:
        conditions.append(col(Note.created_at) <= filters.created_to)
    if filters.tag_ids is not None:
        tagged = and_(col(NoteTag.note_id) == col(Note.id), col(NoteTag.tag_id).in_(filters.tag_ids))
        conditions.append(exists().where(tagged))
    if filters.folder_ids is not None:
        known = select(col(Folder.id)).where(
            col(Folder.id).in_(filters.folder_ids), access.folder_visible_to(ctx.viewer)
        )
        conditions.append(col(Note.folder_id).in_(known))
    if filters.participant_email is not None:
        conditions.append(col(Note.participants).contains([{"email_key": filters.participant_email.lower()}]))
    if filters.search is not None and filters.search.strip():
        # The SQL function `beginnings` of migration 0002 matches words that begin with what was typed.
        conditions.append(col(Note.words).op("@@")(func.beginnings(filters.search)))
    return conditions


def check_filter(filters: NoteFilter) -> NoteFilter:
    start, end = filters.created_from, filters.created_to
    if start is not None and end is not None and start > end:
        raise Problem(ErrorCode.UNPROCESSABLE, "The first date must not be after the last.", "createdFrom")
    return filters


def note_order(by: NoteOrder) -> Order:
    descending = by.direction is OrderDirection.DESC
    return Order(f"note.{by.field}.{by.direction}", SORTED_BY[by.field], col(Note.id), descending)


async def list_notes(
    ctx: Context, view: PageArguments, filters: NoteFilter, by: NoteOrder, needed: Collection[str] | None = None
) -> Page:
    access.require_scope(ctx.viewer, "notes")
    condition = visible_matches(ctx, check_filter(filters))
    query = note_order(by).apply(select(*note_columns(needed)).where(condition), view)
    async with ctx.read() as tx:
        rows = (await tx.execute(query)).all()
    return note_order(by).page(rows, view, lambda: pagination.count(ctx, select(col(Note.id)).where(condition)))


async def count_notes(ctx: Context, filters: NoteFilter) -> int:
    access.require_scope(ctx.viewer, "notes")
    return await pagination.count(ctx, select(col(Note.id)).where(visible_matches(ctx, check_filter(filters))))


async def list_notes_by_offset(
    ctx: Context, limit: int, offset: int, filters: NoteFilter, by: NoteOrder
) -> tuple[Sequence[Record], bool]:
    """A page of notes by offset, and whether it is the last one."""
    access.require_scope(ctx.viewer, "notes")
    check_limit_and_offset(limit, offset)
    query = select(*note_columns(None)).where(visible_matches(ctx, check_filter(filters)))
    async with ctx.read() as tx:
        rows = (await tx.execute(note_order(by).apply(query, PageArguments(first=limit)).offset(offset))).all()
    return rows[:limit], len(rows) <= limit


async def find_tags_of_notes(ctx: Context, note_ids: Iterable[UUID]) -> Mapping[UUID, list[Record]]:
    """The tags of notes that the viewer was allowed to read, by note, sorted by name."""
    return await _grouped(ctx, serialization.tags_query(note_ids))


async def find_segments(ctx: Context, note_ids: Iterable[UUID]) -> Mapping[UUID, list[Record]]:
    """The complete transcripts of notes that the viewer was allowed to read, by note."""
    return await _grouped(ctx, serialization.segments_query(note_ids))


async def _grouped(ctx: Context, query: Executable) -> Mapping[UUID, list[Record]]:
    groups: defaultdict[UUID, list[Record]] = defaultdict(list)
    async with ctx.read() as tx:
        for row in await tx.execute(query):
            groups[row.note_id].append(row)
    return groups


async def list_transcripts(
    ctx: Context, note_ids: Sequence[UUID], window: PageArguments, filters: TranscriptFilter
) -> Pages:
    """A page of the transcript of each note. The viewer was allowed to read the notes."""

    def segments_of(note_id: ColumnElement[UUID]) -> Select[Any]:
        query = select(TranscriptSegment).where(col(TranscriptSegment.note_id) == note_id)
        if not filters.search:
            return query
        return query.where(col(TranscriptSegment.text).icontains(filters.search, autoescape=True))

    return await read_pages(ctx, checked_before(note_ids, "Note"), segments_of, BY_POSITION, window)


@dataclass(frozen=True, slots=True)
class Details:
    """What the JSON of notes contains besides their rows."""

    tags: Mapping[UUID, list[Record]]
    segments: Mapping[UUID, list[Record]]


async def read_details(ctx: Context, rows: Sequence[Record]) -> Details:
    ids = [row.id for row in rows]
    return Details(await find_tags_of_notes(ctx, ids), await find_segments(ctx, ids))
