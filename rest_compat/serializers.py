"""Serializers: rows as the documented JSON. `/v1` has times with milliseconds, `/api/v1/ai` with microseconds."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from models.base import Record
from resolvers.core.ports.ai import ModelCard
from resolvers.notes import serialization
from resolvers.notes.read import Details
from resolvers.search.query import SearchResults
from rest_compat import ai_shapes, shapes

T = TypeVar("T")
millis = serialization.millis

TOOL_CALL = ("id", "tool_name", "text_offset", "result_summary", "result")


def micros(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def note(row: Record, details: Details) -> shapes.Note:
    body = serialization.serialize(row, details.tags.get(row.id, ()), details.segments.get(row.id, ()))
    return cast(shapes.Note, body)


def key(row: Record) -> shapes.ApiKeySummary:
    return {"id": row.id, "name": row.name, "prefix": row.prefix, "createdAt": millis(row.created_at)}


def user(row: Record) -> shapes.UserSummary:
    return {"id": row.id, "name": row.name, "email": row.email, "profileUrl": row.profile_url}


def groups(rows: Iterable[Record]) -> list[shapes.GroupSummary]:
    return [{"id": row.id, "name": row.name} for row in rows]


def page_response(items: list[T], limit: int, offset: int, *, is_last: bool) -> shapes.Page[T]:
    pagination: shapes.Pagination = {"limit": limit, "nextOffset": offset + len(items), "isLast": is_last}
    return {"items": items, "pagination": pagination}


def summary(conversation: Record) -> ai_shapes.ConversationSummary:
    """A conversation as an item of a list."""
    return {
        "id": conversation.id,
        "document_id": conversation.note_id,
        "title": conversation.title,
        "created_at": micros(conversation.created_at),
        "updated_at": micros(conversation.updated_at),
    }


def conversation(row: Record) -> ai_shapes.Conversation:
    return {**summary(row), "user_id": row.user_id}


def message(row: Record) -> ai_shapes.Message:
    return {
        "id": row.id,
        "conversation_id": row.conversation_id,
        "role": row.role,
        "content": row.content,
        "token_count": row.token_count,
        "tool_calls": [tool_call(call) for call in row.tool_calls],
        "created_at": micros(row.created_at),
        "updated_at": micros(row.updated_at),
    }


def tool_call(call: dict[str, Any]) -> ai_shapes.ToolCall:
    return cast(ai_shapes.ToolCall, {name: call.get(name) for name in TOOL_CALL})


def suggestion(row: Record) -> ai_shapes.Suggestion:
    return {
        "id": row.id,
        "conversation_id": row.conversation_id,
        "document_id": row.note_id,
        "message_id": row.message_id,
        "status": row.status,
        "operation": row.operation,
        "original_text": row.original_text,
        "suggested_text": row.suggested_text,
        "position_start": row.position_start,
        "position_end": row.position_end,
        "created_at": micros(row.created_at),
        "updated_at": micros(row.updated_at),
    }


def model(card: ModelCard) -> ai_shapes.Model:
    return cast(ai_shapes.Model, asdict(card))


def search_results(result: SearchResults) -> list[ai_shapes.SearchResult]:
    return [
        {
            "document_id": hit.document_id,
            "workspace_id": hit.workspace_id,
            "chunk_index": hit.chunk_index,
            "chunk_text": hit.chunk_text,
            "document_title": hit.document_title,
            "is_current_document": hit.document_id == result.current_note_id,
            "score": hit.score,
        }
        for hit in result.hits
    ]
