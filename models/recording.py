"""Recordings: uploaded audio, and the stage of its processing into a note's transcript and summary."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints
from pydantic import Field as Constraint
from sqlalchemy import BigInteger, Column, Float, Index, LargeBinary, SmallInteger
from sqlmodel import Field, SQLModel

from models.base import Draft, Id, Line, choice, key, new_id, reference, storable, string, timestamp
from models.limits import limit
from models.note import MAX_TAGS, NoteKind, Title

MAX_RECORDING_SECONDS = limit(
    14_400, "Duration of a recording", area="Audio", unit="seconds", beyond="`BAD_USER_INPUT`, 400"
)
MAX_AUDIO_URL_CHARACTERS = limit(
    2_000, "An `audioUrl`", area="Audio", unit="characters", beyond="`BAD_USER_INPUT`, 400"
)


class RecordingState(StrEnum):
    """`awaited`: an upload address was issued. `uploaded`: the audio has arrived. The others are stages of processing;
    `failed` is the end without a transcript."""

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
    # Set when a note is created from the audio.
    note_id: UUID | None = Field(default=None, sa_column=reference("notes.id", nullable=True, index=True))
    created_by_id: UUID | None = Field(
        default=None, sa_column=reference("users.id", ondelete="SET NULL", nullable=True, index=True)
    )
    state: RecordingState = Field(default=RecordingState.AWAITED, sa_column=choice(RecordingState))
    content_type: str = Field(sa_column=string())
    extension: str = Field(sa_column=string())
    duration_sec: float = Field(sa_column=Column(Float, nullable=False))
    size: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    # The URL that clients use as the recording's name.
    audio_url: str = Field(sa_column=string())
    # Signs the recording's upload address.
    upload_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    # No other worker claims the recording before this time: a lease during a stage, a backoff after a failure.
    work_after: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    failures: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    # Safe to show: why the recording failed, or what is missing of it.
    error: str | None = Field(default=None, sa_column=string(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())
    updated_at: datetime = Field(default=None, sa_column=timestamp())


class UploadDraft(Draft):
    """Audio to be uploaded. `duration` is in seconds."""

    file_extension: AudioExtension
    duration: Annotated[float, Constraint(gt=0, le=MAX_RECORDING_SECONDS, allow_inf_nan=False)]


class FromAudioDraft(Draft):
    """Uploaded audio from which to create a note. `tags` are ids or names of the workspace's tags.

    The `kind` of a new note is in-person by default.
    """

    audio_url: Annotated[str, StringConstraints(max_length=MAX_AUDIO_URL_CHARACTERS), AfterValidator(storable)]
    title: Title | None = None
    tags: Annotated[list[Line], Constraint(max_length=MAX_TAGS)] = []
    kind: NoteKind | None = None
    note_id: Id | None = None
    calendar_event_id: Line | None = None
    folder_id: Id | None = None
