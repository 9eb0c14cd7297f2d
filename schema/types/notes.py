"""Notes, their transcripts, and the inputs that write and filter them.

The limits of the inputs are declared in `models.note` and `models.transcript`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import UNSET

from models.base import Record
from models.note import NoteChange, NoteDraft
from models.note_filter import NoteFilter as FilterDraft
from models.note_filter import NoteOrder as OrderDraft
from models.transcript import TranscriptDraft, TranscriptFilter
from resolvers import notes
from resolvers.core.drafts import parse_draft
from resolvers.core.pagination import Page, PageArguments
from schema.execution.selection import columns
from schema.types.base import Connection, Info, Node, get_or_none, parse_id
from schema.types.enums import NoteKind, NoteOrderField, NoteStatus, NoteVisibility, OrderDirection
from schema.types.folders import Folder
from schema.types.inputs import idempotency_key, to_draft, to_values
from schema.types.note_fields import NoteFields, with_optional
from schema.types.tags import Tag
from schema.types.users import User


@strawberry.type
class Participant:
    name: str
    email: str
    profile_image_url: str | None
    account_name: str | None
    account_domain: str | None
    account_image_url: str | None


@strawberry.type
class Attendee:
    self: bool
    email: str
    display_name: str | None


@strawberry.type
class CalendarEvent:
    id: strawberry.ID
    title: str
    href: str | None
    starts_at: datetime
    ends_at: datetime
    calendar_id: str | None
    attendees: list[Attendee]
    created_at: datetime | None
    updated_at: datetime | None


@strawberry.type
class TranscriptSegment(Node):
    speaker: str
    text: str
    translation: str | None
    start_timestamp: str
    end_timestamp: str


@strawberry.type
class Note(Node, NoteFields):
    status: NoteStatus
    revision: int
    created_at: datetime
    updated_at: datetime
    participants: list[Participant]
    calendar_event: CalendarEvent | None
    indexed_at: datetime | None
    chunk_count: int

    @strawberry.field(graphql_type=User | None)
    @staticmethod
    async def created_by(root: strawberry.Parent[Record], info: Info) -> Record | None:
        return await info.context.loaders.user.load(root.created_by_id) if root.created_by_id else None

    @strawberry.field(graphql_type=list[Tag])
    @staticmethod
    async def tags(root: strawberry.Parent[Record], info: Info) -> Sequence[Record]:
        return await info.context.loaders.tags.load(root.id)

    @strawberry.field(graphql_type=Folder | None, description="Also null if the viewer can't see the folder.")
    @staticmethod
    async def folder(root: strawberry.Parent[Record], info: Info) -> Record | None:
        return await info.context.loaders.folder.load(root.folder_id) if root.folder_id else None

    @strawberry.field(
        graphql_type=list[User],
        description="The people that the note is shared with. Empty unless the viewer may manage the note.",
    )
    @staticmethod
    async def shared_with(root: strawberry.Parent[Record], info: Info) -> list[Record]:
        loaders = info.context.loaders
        people = await loaders.user.load_many(await loaders.shares.load(root.id))
        return [person for person in people if person is not None]

    @strawberry.field(graphql_type=Connection[TranscriptSegment])
    @staticmethod
    async def transcripts(
        root: strawberry.Parent[Record],
        info: Info,
        first: int | None = None,
        after: str | None = None,
        search: str | None = None,
    ) -> Page:
        filters = parse_draft(TranscriptFilter, {"search": search})
        return await info.context.loaders.transcripts.load(
            (root.id, (PageArguments(first=first, after=after), filters))
        )

    @strawberry.field(
        graphql_type=Connection[Annotated["Conversation", strawberry.lazy("schema.types.conversations")]],  # type: ignore[name-defined]  # noqa: F821 (lazy)
        description="The viewer's own conversations, last used first.",
    )
    @staticmethod
    async def conversations(
        root: strawberry.Parent[Record], info: Info, first: int | None = None, after: str | None = None
    ) -> Page:
        return await info.context.loaders.conversations.load((root.id, (PageArguments(first=first, after=after),)))


@strawberry.input
class TranscriptSegmentInput:
    speaker: str
    text: str
    translation: str | None = UNSET
    start_timestamp: str
    end_timestamp: str


@strawberry.input
class ParticipantInput:
    name: str
    email: str
    profile_image_url: str | None = UNSET
    account_name: str | None = UNSET
    account_domain: str | None = UNSET
    account_image_url: str | None = UNSET


@strawberry.input
class AttendeeInput:
    self: bool | None = False
    email: str
    display_name: str | None = UNSET


@strawberry.input
class CalendarEventInput:
    id: strawberry.ID
    title: str
    href: str | None = UNSET
    starts_at: datetime
    ends_at: datetime
    calendar_id: str | None = UNSET
    attendees: list[AttendeeInput] | None = UNSET
    created_at: datetime | None = UNSET
    updated_at: datetime | None = UNSET


@strawberry.input
@with_optional(NoteFields)
class UpdateNoteInput:
    """Absent fields stay as they are. A null clears a field that may be null."""

    status: NoteStatus | None = UNSET
    tag_ids: list[strawberry.ID] | None = UNSET
    folder_id: strawberry.ID | None = UNSET
    participants: list[ParticipantInput] | None = UNSET
    transcripts: list[TranscriptSegmentInput] | None = UNSET
    calendar_event: CalendarEventInput | None = UNSET


@strawberry.input
class CreateNoteInput(UpdateNoteInput):
    title: str
    idempotency_key: str | None = UNSET


@strawberry.input
class NoteFilter:
    status: NoteStatus | None = UNSET
    kind: NoteKind | None = UNSET
    visibility: NoteVisibility | None = UNSET
    search: str | None = UNSET
    created_by: strawberry.ID | None = UNSET
    created_from: datetime | None = UNSET
    created_to: datetime | None = UNSET
    tag_ids: list[strawberry.ID] | None = UNSET
    folder_ids: list[strawberry.ID] | None = UNSET
    participant_email: str | None = UNSET


@strawberry.input
class NoteOrder:
    field: NoteOrderField
    direction: OrderDirection


def filter_draft(filters: NoteFilter | None) -> FilterDraft:
    return to_draft(FilterDraft, filters) if filters else FilterDraft()


@strawberry.type
class NoteQuery:
    @strawberry.field(graphql_type=Note | None)
    @staticmethod
    async def note(info: Info, id: strawberry.ID) -> Record | None:  # noqa: A002 (the contract's name)
        return await get_or_none(id, lambda note_id: notes.get_note(info.context.ctx, note_id, columns(info)))

    @strawberry.field(graphql_type=Connection[Note], description="The notes of the viewer's workspace.")
    @staticmethod
    async def notes(
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: NoteFilter | None = None,  # noqa: A002 (the contract's name)
        order_by: NoteOrder | None = None,
    ) -> Page:
        return await notes.list_notes(
            info.context.ctx,
            PageArguments(first, after, last, before),
            filter_draft(filter),
            to_draft(OrderDraft, order_by) if order_by else OrderDraft(),
            columns(info, ("nodes",), ("edges", "node")),
        )


@strawberry.type
class NoteMutation:
    @strawberry.mutation(graphql_type=Note)
    @staticmethod
    async def create_note(info: Info, input: CreateNoteInput) -> Record:  # noqa: A002 (the contract's name)
        return await notes.create_note(info.context.ctx, to_draft(NoteDraft, input), idempotency_key(input))

    @strawberry.mutation(
        graphql_type=Note, description="Refused with STALE_REVISION if the note's revision is no longer `ifRevision`."
    )
    @staticmethod
    async def update_note(
        info: Info,
        id: strawberry.ID,  # noqa: A002 (the contract's name)
        input: UpdateNoteInput,  # noqa: A002 (the contract's name)
        if_revision: int | None = None,
    ) -> Record:
        change = to_draft(NoteChange, input, keep_nulls=True)
        return await notes.update_note(info.context.ctx, parse_id("Note", id), change, if_revision)

    @strawberry.mutation
    @staticmethod
    async def delete_note(info: Info, id: strawberry.ID) -> strawberry.ID:  # noqa: A002 (the contract's name)
        await notes.delete_note(info.context.ctx, parse_id("Note", id))
        return id

    @strawberry.mutation(graphql_type=Note)
    @staticmethod
    async def append_transcript(info: Info, note_id: strawberry.ID, segments: list[TranscriptSegmentInput]) -> Record:
        added = parse_draft(TranscriptDraft, {"segments": to_values(segments)})
        return await notes.append_transcript(info.context.ctx, parse_id("Note", note_id), added)
