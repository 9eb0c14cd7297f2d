"""The shapes of the responses of `/api/v1/ai`."""

from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from typing_extensions import TypedDict

from models.conversation import MessageRole, SuggestionStatus
from rest_compat.shapes import Count, Moment

T = TypeVar("T")


class OffsetList(TypedDict, Generic[T]):
    items: list[T]
    total: Count


class Model(TypedDict):
    id: str
    name: str
    provider: str
    gateway: str
    is_free: bool
    is_stealth: bool
    context_window: int
    description: str


class ModelList(TypedDict):
    models: list[Model]
    default_model_id: str


class ConversationSummary(TypedDict):
    id: UUID
    document_id: UUID
    title: str | None
    created_at: Moment
    updated_at: Moment


class Conversation(ConversationSummary):
    user_id: UUID


class ToolCall(TypedDict):
    id: str
    tool_name: str
    text_offset: int
    result_summary: str | None
    result: Any


class Suggestion(TypedDict):
    id: UUID
    conversation_id: UUID
    document_id: UUID
    message_id: UUID | None
    status: SuggestionStatus
    operation: Literal["replace_full"]
    original_text: str | None
    suggested_text: str
    position_start: int | None
    position_end: int | None
    created_at: Moment
    updated_at: Moment


class DocumentChange(TypedDict):
    operation: Literal["replace_full"]
    proposed_text: str
    original_text: str | None
    position_start: int | None
    position_end: int | None
    suggestion_id: UUID


class Message(TypedDict):
    id: UUID
    conversation_id: UUID
    role: MessageRole
    content: str
    token_count: int | None
    tool_calls: list[ToolCall]
    created_at: Moment
    updated_at: Moment


class StreamEvent(TypedDict):
    """The data of one event of a reply; `done` and `error` are the last."""

    type: Literal["delta", "tool_call", "document_change", "done", "error"]
    content: str | None
    message_id: UUID | None
    document_change: DocumentChange | None
    tool_name: str | None
    tool_call: ToolCall | None


class IndexResponse(TypedDict):
    document_id: UUID
    chunks_indexed: Count


class SearchResult(TypedDict):
    document_id: UUID
    workspace_id: UUID
    chunk_index: Count
    chunk_text: str
    document_title: str
    is_current_document: bool
    score: float


class SearchResponse(TypedDict):
    document_id: UUID
    query: str
    results: list[SearchResult]
