"""What an agent is asked, and what it tells while it answers. `resolvers.agents` answers; it is loaded after the start,
because its libraries take seconds to import, so nothing else in `resolvers` may import it: it stands in the Context."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from models.base import Record
from models.conversation import AgentType, DocumentContextDraft
from resolvers.core.ports.ai import Passage

if TYPE_CHECKING:
    from resolvers.core.context import Context


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """All that one turn needs. `note_id` names the workspace to search, and the note that is open; `message_id` is the
    user's message, `reply_id` the one that answers it."""

    ctx: "Context"
    text: str
    note_id: UUID
    agent_type: AgentType | None
    model_id: str
    document: DocumentContextDraft | None
    conversation_id: UUID
    message_id: UUID
    reply_id: UUID
    passages: Sequence[Passage] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool: once when it begins, and once with its `result` and the `summary` of it for people.

    `id` is the call's own in its reply; the calls that the model made at once have the same `step`, from 1.
    """

    id: str
    name: str
    arguments: Any
    step: int
    result: Any = None
    summary: str | None = None
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What the provider reported for an answer; 0 tokens where it reported none."""

    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0


class ReplySink(Protocol):
    """Hears an answer while it is made. Each call returns once what it was told is on its way to the followers."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the answer was told yet."""

    async def write_text(self, *pieces: str) -> None:
        """The next pieces of the text, as many as came together."""

    async def write_tool_call(self, call: ToolCall) -> None: ...
    async def write_suggestion(self, suggestion: Record) -> None:
        """A suggestion that has just been committed."""

    def record_usage(self, model_id: str, usage: Usage) -> None:
        """What an attempt to answer has used, once it has ended, however it did; each attempt tells its own."""


DEFAULT_FAILURE_TEXT = "The model could not answer. Please try again."
"""What a person is told where nothing more is known."""


class ReplyFailed(Exception):  # noqa: N818 (says what is the matter, as Problem does)
    """No model could answer. `reason` is a text that is safe to show; the cause is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Agents(Protocol):
    async def answer(self, request: ReplyRequest, sink: ReplySink) -> None:
        """Runs the agent to the end of its answer. Raises what went wrong, whatever it is."""

    async def complete(self, ctx: "Context", model_id: str, instructions: str, prompt: str) -> str:
        """A model's text, outside of any conversation. Raises what went wrong, whatever it is."""

    def preload(self) -> None:
        """Begins to load what is not loaded yet."""
