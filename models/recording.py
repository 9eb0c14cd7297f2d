"""Recordings: audio that was handed in, and how far it has come on its way to a note's transcript and summary."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints
from pydantic import Field as Constraint
from sqlalchemy import BigInteger, Column, Float, Index, LargeBinary, SmallInteger
from sqlmodel import Field, SQLModel

from models.base import Draft, Id, Line, choice, key, new_id, reference, storable, string, timestamp
from models.note import MAX_TAGS, NoteKind, Title

MAX_DURATION = 14_400
"""Seconds of one recording: four hours."""
MAX_ADDRESS = 2_000
"""Characters of an `audioUrl`."""


class RecordingState(StrEnum):
    """`awaited`: an upload address was given out. The rest is the note's way, `failed` its end without a transcript."""

    AWAITED = "awaited"
    UPLOADED = "uploaded"
    TRANSCRIBING = "transcribing"
    SUMMARIZING = "summarizing"
    DONE = "done"
    FAILED = "failed"


class AudioExtension(StrEnum):
    M4A = "m4a"
    MP3 = "mp3"
    WAV = "wav"
    AAC = "aac"


class Recording(SQLModel, table=True):
    __tablename__ = "recordings"
    __table_args__ = (
        Index("recordings_to_do", "work_after", postgresql_where="state IN ('transcribing', 'summarizing')"),
        Index("recordings_by_age", "created_at", postgresql_where="state IN ('awaited', 'uploaded')"),
    )
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", index=True))
    # Known once the audio is made a note of.
    note_id: UUID | None = Field(default=None, sa_column=reference("notes.id", nullable=True, index=True))
    created_by_id: UUID | None = Field(
        default=None, sa_column=reference("users.id", ondelete="SET NULL", nullable=True, index=True)
    )
    state: RecordingState = Field(default=RecordingState.AWAITED, sa_column=choice(RecordingState))
    content_type: str = Field(sa_column=string())
    extension: str = Field(sa_column=string())
    duration_sec: float = Field(sa_column=Column(Float, nullable=False))
    size: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    # The name under which callers speak of it, as it was given out.
    audio_url: str = Field(sa_column=string())
    # Signs the one address that its bytes may be put to.
    upload_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    # Nobody else works on it before this time: a lease while it is being done, a delay after a failure.
    work_after: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    failures: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    # Safe to show: why it failed, or what of it could not be done.
    error: str | None = Field(default=None, sa_column=string(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())
    updated_at: datetime = Field(default=None, sa_column=timestamp())


class UploadDraft(Draft):
    """Audio that somebody wants to hand in. `duration` is in seconds."""

    file_extension: AudioExtension
    duration: Annotated[float, Constraint(gt=0, le=MAX_DURATION, allow_inf_nan=False)]


class FromAudioDraft(Draft):
    """Audio that arrived, to make a note of. `tags` are ids or names of the workspace's tags.

    `kind` is in-person where nothing else is said of a new note.
    """

    audio_url: Annotated[str, StringConstraints(max_length=MAX_ADDRESS), AfterValidator(storable)]
    title: Title | None = None
    tags: Annotated[list[Line], Constraint(max_length=MAX_TAGS)] = []
    kind: NoteKind | None = None
    note_id: Id | None = None
    calendar_event_id: Line | None = None
    folder_id: Id | None = None
