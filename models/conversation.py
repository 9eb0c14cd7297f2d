"""Conversations about a note, their messages, and the edits a model proposed."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field as Constraint
from pydantic import StringConstraints, ValidationInfo, field_validator
from sqlalchemy import Column, Index, Integer
from sqlmodel import Field, SQLModel

from models.base import MAX_TEXT, Draft, Id, Json, Prose, choice, json, key, new_id, reference, string, timestamp
from models.limits import limit

MAX_MESSAGE = limit(
    32_000, "A message", area="Conversations", unit="characters", beyond="`BAD_USER_INPUT`, 400 (REST: 422)", minimum=1
)
MAX_CONTEXT = limit(
    64_000,
    "The document text that is sent with a message",
    area="Conversations",
    unit="characters",
    beyond="`BAD_USER_INPUT`, 400 (REST: 422)",
)
MAX_REPLY = limit(
    500_000, "The text of a reply", area="Replies", unit="characters", beyond="the reply fails with its text so far"
)
MAX_SUGGESTED_TEXT = limit(
    MAX_TEXT,
    "A suggested text, and the original text that it replaces",
    area="Conversations",
    unit="characters",
    beyond="`BAD_USER_INPUT`, 400 (REST: 422)",
)
MAX_POSITION = limit(
    10_000_000,
    "A position in a document, from its beginning",
    area="Conversations",
    unit="characters",
    beyond="`BAD_USER_INPUT`, 400 (REST: 422)",
)


class MessageRole(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class MessageState(StrEnum):
    STREAMING = "streaming"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SuggestionStatus(StrEnum):
    PROPOSED = "proposed"
    APPLIED = "applied"
    DISMISSED = "dismissed"
    SUPERSEDED = "superseded"


class AgentType(StrEnum):
    GENERAL = "general"
    ANALYST = "analyst"


class Conversation(SQLModel, table=True):
    __tablename__ = "conversations"
    __table_args__ = (Index("conversations_in_order", "note_id", "user_id", "updated_at", "id"),)
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", index=True))
    note_id: UUID = Field(sa_column=reference("notes.id"))
    user_id: UUID = Field(sa_column=reference("users.id", index=True))
    title: str | None = Field(default=None, sa_column=string(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())
    updated_at: datetime = Field(default=None, sa_column=timestamp())


class Message(SQLModel, table=True):
    __tablename__ = "messages"
    __table_args__ = (
        Index("messages_in_order", "conversation_id", "created_at", "id"),
        # This index guarantees at most one running reply in a conversation.
        Index("messages_one_reply", "conversation_id", unique=True, postgresql_where="state = 'streaming'"),
        # A cancelled reply keeps its lease until its process has published the terminal event.
        Index("messages_by_lease", "lease_until", postgresql_where="lease_until IS NOT NULL"),
        # For the limits: what runs, and what was spent of late.
        Index("messages_running", "workspace_id", postgresql_where="state = 'streaming'"),
        Index(
            "messages_spent",
            "workspace_id",
            "updated_at",
            postgresql_where="role = 'assistant' AND token_count IS NOT NULL",
        ),
    )
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", index=True))
    conversation_id: UUID = Field(sa_column=reference("conversations.id"))
    role: MessageRole = Field(sa_column=choice(MessageRole))
    content: str = Field(default="", sa_column=string(default=""))
    state: MessageState = Field(default=MessageState.DONE, sa_column=choice(MessageState))
    model_id: str | None = Field(default=None, sa_column=string(nullable=True))
    token_count: int | None = Field(default=None, sa_column=Column(Integer, nullable=True))
    # What the provider reported for a reply: {"input_tokens", "output_tokens", "requests"}.
    usage: dict[str, int] | None = Field(default=None, sa_column=json())
    tool_calls: list[dict[str, Any]] = Field(default_factory=list, sa_column=json(nullable=False, default="[]"))
    # Safe to show: why a reply failed.
    error: str | None = Field(default=None, sa_column=string(nullable=True))
    # The process that runs the reply renews this; a reply whose lease ran out has lost its process.
    lease_until: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())
    updated_at: datetime = Field(default=None, sa_column=timestamp())


class Suggestion(SQLModel, table=True):
    __tablename__ = "suggestions"
    __table_args__ = (
        Index("suggestions_in_order", "conversation_id", "created_at", "id"),
        # A newer proposal supersedes the open one: this index guarantees at most one open suggestion.
        Index("suggestions_one_open", "conversation_id", unique=True, postgresql_where="status = 'proposed'"),
    )
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", index=True))
    conversation_id: UUID = Field(sa_column=reference("conversations.id"))
    note_id: UUID = Field(sa_column=reference("notes.id", index=True))
    message_id: UUID | None = Field(
        default=None, sa_column=reference("messages.id", ondelete="SET NULL", nullable=True, index=True)
    )
    status: SuggestionStatus = Field(default=SuggestionStatus.PROPOSED, sa_column=choice(SuggestionStatus))
    operation: str = Field(default="replace_full", sa_column=string(default="replace_full"))
    original_text: str | None = Field(default=None, sa_column=string(nullable=True))
    suggested_text: str = Field(sa_column=string())
    position_start: int | None = Field(default=None, sa_column=Column(Integer, nullable=True))
    position_end: int | None = Field(default=None, sa_column=Column(Integer, nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())
    updated_at: datetime = Field(default=None, sa_column=timestamp())


ContextText = Annotated[Prose, StringConstraints(max_length=MAX_CONTEXT)]
ConversationTitle = Annotated[Prose, StringConstraints(min_length=1, max_length=255)]


class ConversationDraft(Draft):
    note_id: Id
    title: ConversationTitle | None = None


class ConversationRename(Draft):
    title: ConversationTitle


class SelectionDraft(Draft):
    from_: Annotated[int, Constraint(alias="from", ge=0, le=MAX_POSITION)]
    to: Annotated[int, Constraint(ge=0, le=MAX_POSITION)]
    text: ContextText


class DocumentContextDraft(Draft):
    """The document as the editor shows it at the moment of asking."""

    content_text: ContextText | None = None
    content_json: Json = None
    selection: SelectionDraft | None = None


class MessageDraft(Draft):
    """A question.

    With `note_id`, passages come from that note's workspace. If it is not sent, they come from the workspace of the
    conversation's note; with null, no passages are searched.
    """

    message: Annotated[Prose, StringConstraints(min_length=1, max_length=MAX_MESSAGE)]
    note_id: Id | None = None
    model_id: Annotated[Prose, StringConstraints(max_length=200)] | None = None
    agent_type: AgentType | None = None
    document_context: DocumentContextDraft | None = None


Position = Annotated[int, Constraint(ge=0, le=MAX_POSITION)]
SuggestedText = Annotated[Prose, StringConstraints(max_length=MAX_SUGGESTED_TEXT)]


class SuggestionDraft(Draft):
    """An edit of the conversation's note: the new text and, if known, the text and position that it replaces."""

    conversation_id: Id
    note_id: Id
    message_id: Id | None = None
    original_text: SuggestedText | None = None
    suggested_text: Annotated[SuggestedText, StringConstraints(min_length=1)]
    position_start: Position | None = None
    position_end: Position | None = None

    @field_validator("position_end")
    @classmethod
    def _not_before_the_start(cls, end: int | None, info: ValidationInfo) -> int | None:
        start = info.data.get("position_start")
        if start is not None and end is not None and end < start:
            raise ValueError("the end must not be before the start")
        return end


class SuggestionDecision(Draft):
    status: SuggestionStatus
