"""The events of a reply: numbered from 1, and ended by exactly one terminal event."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from models.conversation import MessageRole, MessageState

TERMINAL_TYPES = frozenset({"done", "error"})


@dataclass(frozen=True, slots=True)
class ReplyEvent:
    """One event of a reply. `type` is delta, tool_call, document_change, done or error.

    `content` is the next piece of text of a delta, the whole text of `done`, and the reason of `error`, which is safe
    to show.
    """

    seq: int
    type: str
    message_id: UUID
    content: str | None = None
    document_change: dict[str, Any] | None = None
    tool_call: dict[str, Any] | None = None

    @property
    def is_terminal(self) -> bool:
        return self.type in TERMINAL_TYPES

    def encode(self) -> bytes:
        # `default` is for the UUIDs of asyncpg, which are of its own class.
        return orjson.dumps(self, default=str)

    @classmethod
    def decode(cls, data: bytes) -> "ReplyEvent":
        fields = orjson.loads(data)
        return cls(**{**fields, "message_id": UUID(fields["message_id"])})


@dataclass(frozen=True, slots=True)
class DeletedReply:
    """Takes the place of a failed reply's message if its conversation was deleted while the reply ran."""

    id: object
    role: MessageRole = MessageRole.ASSISTANT
    content: str = ""
    state: MessageState = MessageState.FAILED
    model_id: str | None = None
    token_count: int | None = None
    tool_calls: tuple[()] = ()
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = field(default_factory=lambda: datetime.now(UTC))
