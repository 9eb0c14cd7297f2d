"""What a reply tells its followers, numbered from 1 and ended by exactly one terminal event."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from models.conversation import MessageRole, MessageState

TERMINAL = frozenset({"done", "error"})


@dataclass(frozen=True, slots=True)
class ReplyEvent:
    """`type`: delta, tool_call, document_change, done or error. `content` is the text of a delta, the whole text of
    `done`, and of an error a reason that is safe to show."""

    seq: int
    type: str
    message_id: UUID
    content: str | None = None
    document_change: dict[str, Any] | None = None
    tool_call: dict[str, Any] | None = None

    @property
    def terminal(self) -> bool:
        return self.type in TERMINAL

    def encode(self) -> bytes:
        # `default`: asyncpg's UUIDs are of a class of its own.
        return orjson.dumps(self, default=str)

    @classmethod
    def decode(cls, data: bytes) -> "ReplyEvent":
        fields = orjson.loads(data)
        return cls(**{**fields, "message_id": UUID(fields["message_id"])})


@dataclass(frozen=True, slots=True)
class DeletedReply:
    """Stands for the message of a failed reply whose conversation was deleted meanwhile."""

    id: object
    role: MessageRole = MessageRole.ASSISTANT
    content: str = ""
    state: MessageState = MessageState.FAILED
    model_id: str | None = None
    token_count: int | None = None
    tool_calls: tuple[()] = ()
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = field(default_factory=lambda: datetime.now(UTC))
