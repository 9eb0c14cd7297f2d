"""The event log: what happened in a workspace, numbered without gaps."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, Uuid
from sqlmodel import Field, SQLModel

from models.base import choice, json, new_id, reference, timestamp


class EventType(StrEnum):
    NOTE_CREATED = "note.created"
    NOTE_UPDATED = "note.updated"
    NOTE_DELETED = "note.deleted"
    NOTE_COMPLETED = "note.completed"
    NOTE_AUDIO_UPLOADED = "note.audio_uploaded"
    NOTE_INDEXED = "note.indexed"
    CONVERSATION_CREATED = "conversation.created"
    CONVERSATION_UPDATED = "conversation.updated"
    CONVERSATION_DELETED = "conversation.deleted"
    MESSAGE_CREATED = "message.created"
    REPLY_STARTED = "reply.started"
    REPLY_FINISHED = "reply.finished"
    SUGGESTION_CREATED = "suggestion.created"
    SUGGESTION_UPDATED = "suggestion.updated"
    WEBHOOK_DISABLED = "webhook.disabled"


class Event(SQLModel, table=True):
    """`note_id` and `actor_id` are no foreign keys: an event outlives what it tells of."""

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
    # Set where only one person may see the event: their conversations are nobody else's business.
    owner_id: UUID | None = Field(default=None, sa_column=Column(Uuid(), nullable=True))
    actor_id: UUID | None = Field(default=None, sa_column=Column(Uuid(), nullable=True))
    payload: dict[str, Any] = Field(default_factory=dict, sa_column=json(nullable=False, default="{}"))
    created_at: datetime = Field(default=None, sa_column=timestamp())
