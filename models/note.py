"""Notes: their table and its dependents, and what a client may write to them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, StringConstraints
from pydantic import Field as Constraint
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
from models.limits import limit
from models.transcript import Segments

MAX_TITLE_CHARACTERS = limit(
    500, "Title of a note", area="Notes", unit="characters", beyond="`BAD_USER_INPUT`, 400", minimum=1
)
MAX_LANGUAGE_CHARACTERS = limit(
    35, "A note's input and translation language", area="Notes", unit="characters", beyond="`BAD_USER_INPUT`, 400"
)
MAX_PARTICIPANTS = limit(
    500, "Participants of a note, and attendees of its calendar event", area="Notes", beyond="`BAD_USER_INPUT`, 400"
)
MAX_TAGS = limit(100, "Tags of a note, and in a filter of notes", area="Notes", beyond="`BAD_USER_INPUT`, 400")
MAX_SHARES = limit(100, "People with whom a note is shared directly", area="Notes", beyond="`UNPROCESSABLE`, 422")
MAX_DURATION_SECONDS = limit(
    10_000_000, "Duration of a note's recording", area="Notes", unit="seconds", beyond="`BAD_USER_INPUT`, 400"
)


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


Title = Annotated[Line, StringConstraints(min_length=1, max_length=MAX_TITLE_CHARACTERS)]
Language = Annotated[Line, StringConstraints(max_length=MAX_LANGUAGE_CHARACTERS)]
Duration = Annotated[float, Constraint(ge=0, le=MAX_DURATION_SECONDS, allow_inf_nan=False)]


class NoteFields(BaseModel):
    """The fields of a note that are read as they were written.

    Each is declared here once: as a column, and with the type that `NoteDraft` and `NoteChange` accept. The GraphQL
    types take them from `schema.types.note_fields`, REST and webhooks from `rest_compat.shapes.Note`;
    tests/resolvers/test_note_fields.py fails while one of the two lacks a field.
    """

    title: Title = Field(sa_column=string())
    kind: NoteKind = Field(default=NoteKind.ONLINE, sa_column=choice(NoteKind))
    visibility: NoteVisibility = Field(default=NoteVisibility.WORKSPACE, sa_column=choice(NoteVisibility))
    total_duration_sec: Duration = Field(default=0.0, sa_column=Column(Float, nullable=False, server_default="0"))
    user_written_note: Prose = Field(default="", sa_column=string(default=""))
    enhanced_note: Prose = Field(default="", sa_column=string(default=""))
    summary: Prose = Field(default="", sa_column=string(default=""))
    content_text: Prose = Field(default="", sa_column=string(default=""))
    content_json: Json = Field(default=None, sa_column=json())
    input_language: Language | None = Field(default=None, sa_column=string(nullable=True))
    translation_language: Language | None = Field(default=None, sa_column=string(nullable=True))
    meeting_app: Line | None = Field(default=None, sa_column=string(nullable=True))


# Each text is cut, because a tsvector of more than 1 MB is an error. The rest of a longer text is found by `search`.
SEARCHABLE = """to_tsvector('caret', title || ' ' || left(user_written_note, 25000) || ' ' || left(summary, 25000)
|| ' ' || left(enhanced_note, 25000) || ' ' || left(content_text, 25000))"""


class Note(NoteFields, SQLModel, table=True):
    __tablename__ = "notes"
    # One index for each key by which the notes of a workspace are sorted.
    __table_args__ = (
        Index("notes_by_creation", "workspace_id", "created_at", "id"),
        Index("notes_by_change", "workspace_id", "updated_at", "id"),
        Index("notes_by_title", "workspace_id", "title", "id"),
        # For the few notes of a rare status or kind.
        Index("notes_by_status", "workspace_id", "status", "created_at", "id"),
        Index("notes_by_kind", "workspace_id", "kind", "created_at", "id"),
        # The workspace comes first (btree_gin), so a common word is looked up among the notes of one workspace.
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
        # For notes whose chunks another embedder made, and for notes that were indexed before a given time.
        Index("notes_by_embedder", "embedder", "id", postgresql_where="chunk_count > 0"),
        Index("notes_by_indexing", "workspace_id", "indexed_at"),
        Index("notes_to_translate", "translate_after", postgresql_where="translate_after IS NOT NULL"),
    )
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    status: NoteStatus = Field(default=NoteStatus.IDLE, sa_column=choice(NoteStatus))
    revision: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default="1"))
    created_by_id: UUID | None = Field(
        default=None, sa_column=reference("users.id", ondelete="SET NULL", nullable=True, index=True)
    )
    folder_id: UUID | None = Field(default=None, sa_column=reference("folders.id", ondelete="SET NULL", nullable=True))
    participants: list[dict[str, Any]] = Field(default_factory=list, sa_column=json(nullable=False, default="[]"))
    calendar_event: dict[str, Any] | None = Field(default=None, sa_column=json())
    created_at: datetime = Field(default=None, sa_column=timestamp())
    updated_at: datetime = Field(default=None, sa_column=timestamp())
    # Each accepted text increments index_wanted. index_done is the number of the text that the chunks were made of.
    index_wanted: int = Field(default=1, sa_column=Column(BigInteger, nullable=False, server_default="1"))
    index_done: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    # The text to index in place of the note's own texts, where a client sent one.
    index_content: str | None = Field(default=None, sa_column=string(nullable=True))
    # No worker indexes the note before this time: the end of a lease, or of the wait after a failure.
    index_after: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    index_failures: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    indexed_at: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    chunk_count: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    # The embedder that made all chunks. NULL where there are no chunks, or they are older than this column.
    embedder: str | None = Field(default=None, sa_column=string(nullable=True))
    # Set while segments lack a translation. No worker translates them before this time.
    translate_after: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    translate_failures: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    words: Any = Field(default=None, sa_column=Column(TSVECTOR, Computed(SEARCHABLE, persisted=True)))


class NoteShare(SQLModel, table=True):
    """Lets one user read a note, whether or not they are a member of its workspace."""

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


Participants = Annotated[list[ParticipantDraft], Constraint(max_length=MAX_PARTICIPANTS)]
TagIds = Annotated[list[Id], Constraint(max_length=MAX_TAGS)]


class NoteDraft(NoteFields, Draft):
    """A note to create. `status` None means completed where a transcript comes with the note, and idle elsewhere."""

    status: NoteStatus | None = None
    tag_ids: TagIds = []
    folder_id: Id | None = None
    participants: Participants = []
    transcripts: Segments = []
    calendar_event: CalendarEventDraft | None = None


class NoteChange(NoteDraft):
    """The fields of a note to change. A field that was not sent is kept (`model_fields_set`); lists are replaced."""

    title: Title = ""
