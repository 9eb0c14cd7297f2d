"""Transcripts of notes: the table of their segments, and what a client may write to it."""

from typing import Annotated
from uuid import UUID

from pydantic import Field as Constraint
from pydantic import StringConstraints
from sqlalchemy import Column, Integer, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.base import Draft, Line, Prose, key, new_id, reference, string
from models.limits import limit

MAX_SEGMENTS = limit(10_000, "Transcript segments of a note", area="Notes", beyond="`UNPROCESSABLE`, 422")
MAX_SEGMENTS_PER_APPEND = limit(
    1_000,
    "Transcript segments added by one `appendTranscript`",
    area="Notes",
    beyond="`BAD_USER_INPUT`, 400",
    minimum=1,
)
MAX_SEGMENT_CHARACTERS = limit(
    10_000,
    "Text of a transcript segment, and its translation",
    area="Notes",
    unit="characters",
    beyond="`BAD_USER_INPUT`, 400",
)


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


# HH:MM:SS, with milliseconds where there are some. A recording may be longer than 99 hours.
Timecode = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{2,4}:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,3})?$", max_length=14)
]
SegmentText = Annotated[Prose, StringConstraints(max_length=MAX_SEGMENT_CHARACTERS)]


class SegmentDraft(Draft):
    speaker: Line
    text: SegmentText
    translation: SegmentText | None = None
    start_timestamp: Timecode
    end_timestamp: Timecode


Segments = Annotated[list[SegmentDraft], Constraint(max_length=MAX_SEGMENTS)]


class TranscriptDraft(Draft):
    """Segments to add at the end of a transcript."""

    segments: Annotated[list[SegmentDraft], Constraint(min_length=1, max_length=MAX_SEGMENTS_PER_APPEND)]


class TranscriptFilter(Draft, frozen=True):
    """`search` selects the segments whose text contains these characters, in upper or lower case."""

    search: Line | None = None
