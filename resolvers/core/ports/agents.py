"""The port to the agents that write replies; `resolvers.agents` implements it.

That package is loaded after the start, because its libraries take seconds to import. Nothing else in `resolvers` may
import it: the context holds it.
"""

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
    """All that a reply needs.

    `note_id` is the note that the user has open, whose workspace is searched. `message_id` is the user's message,
    `reply_id` the message that answers it.
    """

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
    """A call of a tool, reported when it begins, and again with its `result` and a `summary` of it for people.

    `id` is unique in the reply. Calls that the model makes at once have the same `step`, counted from 1.
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
    """The usage that the provider reported for an answer; 0 tokens if it reported none."""

    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0


class ReplySink(Protocol):
    """Receives an answer while it is written. Each call returns once its event is on the way to the subscribers."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the answer was written yet."""

    async def write_text(self, *pieces: str) -> None:
        """Appends pieces of the text, as many as arrived together."""

    async def write_tool_call(self, call: ToolCall) -> None: ...
    async def write_suggestion(self, suggestion: Record) -> None:
        """Reports a suggestion that was just committed."""

    def record_usage(self, model_id: str, usage: Usage) -> None:
        """Adds the usage of one attempt to answer, after its end, successful or not."""


DEFAULT_FAILURE_TEXT = "The model could not answer. Please try again."
"""The reason of a failed reply when nothing more is known."""


class AgentFailed(Exception):  # noqa: N818 (says what is the matter, as Problem does)
    """No model could answer. `reason` is safe to show; the cause is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Agents(Protocol):
    async def answer(self, request: ReplyRequest, sink: ReplySink) -> None:
        """Runs the agent to the end of its answer. Raises whatever goes wrong."""

    async def complete(self, ctx: "Context", model_id: str, instructions: str, prompt: str) -> str:
        """A model's text, outside of any conversation. Raises whatever goes wrong."""

    def preload(self) -> None:
        """Starts loading what is not loaded yet."""
