"""The event log of a workspace: what happened there, numbered without gaps."""

from datetime import datetime
from enum import Enum, StrEnum, auto
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, Uuid
from sqlmodel import Field, SQLModel

from models.base import choice, json, new_id, reference, timestamp


class Audience(Enum):
    """Who may see an event, apart from its type's own conditions on payloads."""

    NOTE_READERS = auto()
    """Whoever may read the event's note. An event without a note has no readers."""
    OWNER = auto()
    """The user in `owner_id`, while they may read the event's note: conversations are private to their owner."""
    WEBHOOK_ADMINS = auto()
    """The workspace's admins; an API key needs the scope `webhooks`."""


class EventType(StrEnum):
    """What happened, with the audience of such events. To add a type, add a line here and a migration that widens the
    CHECK constraint of `events.type`; tests/resolvers/test_event_types.py names whatever else is missing."""

    audience: Audience

    def __new__(cls, value: str, audience: Audience) -> "EventType":
        member = str.__new__(cls, value)
        member._value_ = value
        member.audience = audience
        return member

    NOTE_CREATED = "note.created", Audience.NOTE_READERS
    NOTE_UPDATED = "note.updated", Audience.NOTE_READERS
    NOTE_DELETED = "note.deleted", Audience.NOTE_READERS
    NOTE_COMPLETED = "note.completed", Audience.NOTE_READERS
    NOTE_AUDIO_UPLOADED = "note.audio_uploaded", Audience.NOTE_READERS
    NOTE_INDEXED = "note.indexed", Audience.NOTE_READERS
    CONVERSATION_CREATED = "conversation.created", Audience.OWNER
    CONVERSATION_UPDATED = "conversation.updated", Audience.OWNER
    CONVERSATION_DELETED = "conversation.deleted", Audience.OWNER
    MESSAGE_CREATED = "message.created", Audience.OWNER
    REPLY_STARTED = "reply.started", Audience.OWNER
    REPLY_FINISHED = "reply.finished", Audience.OWNER
    SUGGESTION_CREATED = "suggestion.created", Audience.OWNER
    SUGGESTION_UPDATED = "suggestion.updated", Audience.OWNER
    WEBHOOK_DISABLED = "webhook.disabled", Audience.WEBHOOK_ADMINS


class Event(SQLModel, table=True):
    """A row of the event log.

    `note_id` and `actor_id` are not foreign keys: an event outlives its note and its actor.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("events_by_note", "workspace_id", "note_id", "seq"),
        Index("events_by_age", "created_at"),
    )
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", primary_key=True))
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    id: UUID = Field(default_factory=new_id, sa_column=Column(Uuid(), nullable=False, unique=True))
    type: EventType = Field(sa_column=choice(EventType))
    note_id: UUID | None = Field(default=None, sa_column=Column(Uuid(), nullable=True))
    # The user who alone may see an event whose audience is OWNER.
    owner_id: UUID | None = Field(default=None, sa_column=Column(Uuid(), nullable=True))
    actor_id: UUID | None = Field(default=None, sa_column=Column(Uuid(), nullable=True))
    payload: dict[str, Any] = Field(default_factory=dict, sa_column=json(nullable=False, default="{}"))
    created_at: datetime = Field(default=None, sa_column=timestamp())
