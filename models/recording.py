"""Recordings: audio that was handed in, and how far it has come on its way to a note's transcript and summary."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Column, Float, Index, SmallInteger
from sqlmodel import Field, SQLModel

from models.base import choice, key, new_id, reference, string, timestamp


class RecordingState(StrEnum):
    """`awaited`: an upload address was given out. The rest is the note's way, `failed` its end without a transcript."""

    AWAITED = "awaited"
    UPLOADED = "uploaded"
    TRANSCRIBING = "transcribing"
    SUMMARIZING = "summarizing"
    DONE = "done"
    FAILED = "failed"


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
    # Nobody else works on it before this time: a lease while it is being done, a delay after a failure.
    work_after: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    failures: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    # Safe to show: why it failed.
    error: str | None = Field(default=None, sa_column=string(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())
    updated_at: datetime = Field(default=None, sa_column=timestamp())
