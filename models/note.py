"""Notes: the table, its dependants, and what a client may write to them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field as Constraint
from pydantic import StringConstraints
from sqlalchemy import BigInteger, Column, Computed, Float, Index, Integer, SmallInteger, UniqueConstraint
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import Field, SQLModel

from models.base import (
    Draft,
    Email,
    Id,
    Json,
    Line,
    Prose,
    When,
    choice,
    json,
    key,
    new_id,
    reference,
    string,
    timestamp,
)

MAX_SEGMENTS = 10_000
"""Transcript segments of one note."""
SEGMENTS_PER_CALL = 1_000
"""Transcript segments that one append may add."""
MAX_SEGMENT = 10_000
"""Characters of one segment, and of its translation."""
MAX_LANGUAGE = 35
MAX_PARTICIPANTS = 500
MAX_TAGS = 100
"""Tags of one note, and ids in one filter."""
MAX_FILTER_FOLDERS = 100
"""Folders in one filter."""
MAX_SHARES = 100
"""People that one note is shared with directly."""


class NoteKind(StrEnum):
    ONLINE = "online"
    IN_PERSON = "in-person"
    PODCAST = "podcast"


class NoteStatus(StrEnum):
    IDLE = "idle"
    RECORDING = "recording"
    TRANSCRIPT_PROCESSING = "transcript-processing"
    RECORDED_NOT_SUMMARIZED = "recorded-not-summarized"
    SUMMARIZING = "summarizing"
    COMPLETED = "completed"


class NoteVisibility(StrEnum):
    PRIVATE = "private"
    WORKSPACE = "workspace"
    SHARED = "shared"


class NoteOrderField(StrEnum):
    CREATED_AT = "createdAt"
    UPDATED_AT = "updatedAt"
    TITLE = "title"


class OrderDirection(StrEnum):
    ASC = "asc"
    DESC = "desc"


# Bounded, because a tsvector of more than 1 MB is an error: a longer text is found by its first part (and by search).
SEARCHABLE = """to_tsvector('caret', title || ' ' || left(user_written_note, 25000) || ' ' || left(summary, 25000)
|| ' ' || left(enhanced_note, 25000) || ' ' || left(content_text, 25000))"""


class Note(SQLModel, table=True):
    __tablename__ = "notes"
    # A list's order by (key, id) within the workspace, for each key it may be sorted by.
    __table_args__ = (
        Index("notes_by_creation", "workspace_id", "created_at", "id"),
        Index("notes_by_change", "workspace_id", "updated_at", "id"),
        Index("notes_by_title", "workspace_id", "title", "id"),
        # For the few notes of a rare status or kind among many of the usual ones.
        Index("notes_by_status", "workspace_id", "status", "created_at", "id"),
        Index("notes_by_kind", "workspace_id", "kind", "created_at", "id"),
        # By workspace first (btree_gin): a word that everybody uses is looked up among one's own notes only.
        Index("notes_by_words", "workspace_id", "words", postgresql_using="gin"),
        Index(
            "notes_by_participants",
            "workspace_id",
            "participants",
            postgresql_using="gin",
            postgresql_ops={"participants": "jsonb_path_ops"},
        ),
        Index("notes_by_folder", "folder_id", "created_at", "id"),
        Index("notes_to_index", "updated_at", postgresql_where="index_done < index_wanted"),
        # Those whose chunks another embedder made, and those that were indexed before a moment.
        Index("notes_by_embedder", "embedder", "id", postgresql_where="chunk_count > 0"),
        Index("notes_by_indexing", "workspace_id", "indexed_at"),
        Index("notes_to_translate", "translate_after", postgresql_where="translate_after IS NOT NULL"),
    )
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    title: str = Field(sa_column=string())
    kind: NoteKind = Field(default=NoteKind.ONLINE, sa_column=choice(NoteKind))
    status: NoteStatus = Field(default=NoteStatus.IDLE, sa_column=choice(NoteStatus))
    visibility: NoteVisibility = Field(default=NoteVisibility.WORKSPACE, sa_column=choice(NoteVisibility))
    revision: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default="1"))
    created_by_id: UUID | None = Field(
        default=None, sa_column=reference("users.id", ondelete="SET NULL", nullable=True, index=True)
    )
    folder_id: UUID | None = Field(default=None, sa_column=reference("folders.id", ondelete="SET NULL", nullable=True))
    participants: list[dict[str, Any]] = Field(default_factory=list, sa_column=json(nullable=False, default="[]"))
    calendar_event: dict[str, Any] | None = Field(default=None, sa_column=json())
    total_duration_sec: float = Field(default=0.0, sa_column=Column(Float, nullable=False, server_default="0"))
    user_written_note: str = Field(default="", sa_column=string(default=""))
    enhanced_note: str = Field(default="", sa_column=string(default=""))
    summary: str = Field(default="", sa_column=string(default=""))
    content_text: str = Field(default="", sa_column=string(default=""))
    content_json: Any = Field(default=None, sa_column=json())
    input_language: str | None = Field(default=None, sa_column=string(nullable=True))
    translation_language: str | None = Field(default=None, sa_column=string(nullable=True))
    meeting_app: str | None = Field(default=None, sa_column=string(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())
    updated_at: datetime = Field(default=None, sa_column=timestamp())
    # Every accepted text takes a ticket (index_wanted); the chunks of the highest ticket stay (index_done).
    index_wanted: int = Field(default=1, sa_column=Column(BigInteger, nullable=False, server_default="1"))
    index_done: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    # A text that was handed in for indexing instead of the note's own; None: the note's own.
    index_content: str | None = Field(default=None, sa_column=string(nullable=True))
    # Nobody else indexes the note before this time: a lease while it is being done, a delay after a failure.
    index_after: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    index_failures: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    indexed_at: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    chunk_count: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    # The identity of the embedder of all its chunks. None: there are none, or they are older than this column.
    embedder: str | None = Field(default=None, sa_column=string(nullable=True))
    # Set while segments wait for their translation; nobody else takes them up before this time.
    translate_after: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    translate_failures: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    words: Any = Field(default=None, sa_column=Column(TSVECTOR, Computed(SEARCHABLE, persisted=True)))


class NoteShare(SQLModel, table=True):
    """A note shared with one user directly, in or outside the workspace: they may read it."""

    __tablename__ = "note_shares"
    __table_args__ = (UniqueConstraint("note_id", "user_id", name="note_shares_once"),)
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", index=True))
    note_id: UUID = Field(sa_column=reference("notes.id"))
    user_id: UUID = Field(sa_column=reference("users.id", index=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())


class NoteTag(SQLModel, table=True):
    __tablename__ = "note_tags"
    __table_args__ = (Index("note_tags_by_tag", "tag_id", "note_id"),)
    note_id: UUID = Field(sa_column=reference("notes.id", primary_key=True))
    tag_id: UUID = Field(sa_column=reference("tags.id", primary_key=True))
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", index=True))


class TranscriptSegment(SQLModel, table=True):
    __tablename__ = "transcript_segments"
    __table_args__ = (UniqueConstraint("note_id", "position", name="transcript_in_order"),)
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", index=True))
    note_id: UUID = Field(sa_column=reference("notes.id"))
    position: int = Field(sa_column=Column(Integer, nullable=False))
    speaker: str = Field(sa_column=string())
    text: str = Field(sa_column=string())
    translation: str | None = Field(default=None, sa_column=string(nullable=True))
    start_timestamp: str = Field(sa_column=string())
    end_timestamp: str = Field(sa_column=string())


Title = Annotated[Line, StringConstraints(min_length=1, max_length=500)]
# HH:MM:SS, with milliseconds where there are some; a recording may be longer than 99 hours.
Clock = Annotated[str, StringConstraints(pattern=r"^[0-9]{2,4}:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,3})?$", max_length=14)]
Language = Annotated[Line, StringConstraints(max_length=MAX_LANGUAGE)]


class SegmentDraft(Draft):
    speaker: Line
    text: Annotated[Prose, StringConstraints(max_length=MAX_SEGMENT)]
    translation: Annotated[Prose, StringConstraints(max_length=MAX_SEGMENT)] | None = None
    start_timestamp: Clock
    end_timestamp: Clock


class ParticipantDraft(Draft):
    name: Line
    email: Email
    profile_image_url: Line | None = None
    account_name: Line | None = None
    account_domain: Line | None = None
    account_image_url: Line | None = None


class AttendeeDraft(Draft):
    self: bool = False
    email: Email
    display_name: Line | None = None


class CalendarEventDraft(Draft):
    id: Line
    title: Line
    href: Line | None = None
    starts_at: When
    ends_at: When
    calendar_id: Line | None = None
    attendees: Annotated[list[AttendeeDraft], Constraint(max_length=MAX_PARTICIPANTS)] = []
    created_at: When | None = None
    updated_at: When | None = None


Segments = Annotated[list[SegmentDraft], Constraint(max_length=MAX_SEGMENTS)]
Participants = Annotated[list[ParticipantDraft], Constraint(max_length=MAX_PARTICIPANTS)]
TagIds = Annotated[list[Id], Constraint(max_length=MAX_TAGS)]
FolderIds = Annotated[list[Id], Constraint(max_length=MAX_FILTER_FOLDERS)]
Duration = Annotated[float, Constraint(ge=0, le=10_000_000, allow_inf_nan=False)]


class NoteDraft(Draft):
    """A note to create. `status` None: completed when a transcript comes with it, else idle."""

    title: Title
    kind: NoteKind = NoteKind.ONLINE
    visibility: NoteVisibility = NoteVisibility.WORKSPACE
    status: NoteStatus | None = None
    user_written_note: Prose = ""
    enhanced_note: Prose = ""
    summary: Prose = ""
    content_text: Prose = ""
    content_json: Json = None
    tag_ids: TagIds = []
    folder_id: Id | None = None
    participants: Participants = []
    transcripts: Segments = []
    calendar_event: CalendarEventDraft | None = None
    total_duration_sec: Duration = 0.0
    input_language: Language | None = None
    translation_language: Language | None = None
    meeting_app: Line | None = None


class NoteChange(NoteDraft):
    """The fields to change: what was not sent is kept (`model_fields_set` tells), lists are replaced whole."""

    title: Title = ""


class TranscriptDraft(Draft):
    segments: Annotated[list[SegmentDraft], Constraint(min_length=1, max_length=SEGMENTS_PER_CALL)]


class NoteFilter(Draft):
    """Conditions that must all hold; `tag_ids` and `folder_ids` ask for any of them; the dates include their bounds."""

    status: NoteStatus | None = None
    kind: NoteKind | None = None
    visibility: NoteVisibility | None = None
    search: Line | None = None
    created_by: Id | None = None
    created_from: When | None = None
    created_to: When | None = None
    tag_ids: TagIds | None = None
    folder_ids: FolderIds | None = None
    participant_email: Email | None = None


class TranscriptFilter(Draft, frozen=True):
    """`search`: the segments whose text has these very characters, in any case."""

    search: Line | None = None


class NoteOrder(Draft):
    field: NoteOrderField = NoteOrderField.CREATED_AT
    direction: OrderDirection = OrderDirection.DESC
