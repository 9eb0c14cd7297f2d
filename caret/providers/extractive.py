"""The built-in model: quotes the passages it is shown, through the same agent code as any provider's model."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from caret.providers.quotes import answer, digest, read_passages, title, without_passages
from resolvers.core.ports.ai import BUILT_IN_GATEWAY, ModelCard, Passage, text_listener

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelRequestPart, ModelResponse, UserPromptPart
    from pydantic_ai.models import Model
    from pydantic_ai.models.function import AgentInfo

SEARCH_TOOL = "search_workspace_context"
MAX_QUERY = 2000  # characters, the tool's own limit
TITLE_TASK = "Task: title"
SUMMARY_TASK = "Task: summary"

CARD = ModelCard(
    id="caret/extractive",
    name="Caret Extractive",
    provider="Caret",
    gateway=BUILT_IN_GATEWAY,
    is_free=True,
    is_stealth=False,
    context_window=32_768,
    description="Quotes the best matching passages of your notes with their titles. It does not write, summarise or "
    "reason, and it needs no network.",
)


def extractive_model() -> "Model":
    """One request of it is one of four things, and always the same one for the same messages.

    * A line `Task: title` in the instructions: a title for the user's message.
    * A line `Task: summary` there: the sentences that say most of what the passages are about.
    * A tool `search_workspace_context` that this turn hasn't called: a call of it with the user's question.
    * Otherwise an answer quoted from the passages in the instructions, in this turn's messages (see
      `resolvers.core.ports.ai.passages_block`) and in this turn's tool results, a list of
      `{title, chunk_index, text, note_id, score}`.

    Who listens (`text_listener`) hears the text in one piece per word. The usage is FunctionModel's rough estimate.
    """
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart  # noqa: PLC0415 (over a second to import)
    from pydantic_ai.models.function import FunctionModel  # noqa: PLC0415

    async def respond(messages: "list[ModelMessage]", info: "AgentInfo") -> "ModelResponse":
        turn = _Turn(messages, info)
        if turn.wants_search:
            return ModelResponse(parts=[ToolCallPart(SEARCH_TOOL, turn.search_arguments)])
        text, say = await asyncio.to_thread(turn.text), text_listener.get()
        if say is not None:
            for piece in re.findall(r"\S+\s*", text):
                await say(piece)
                await asyncio.sleep(0)
        return ModelResponse(parts=[TextPart(text)])

    return FunctionModel(respond, model_name=CARD.id)


class _Turn:
    """The messages since the user last spoke, as the model understands them."""

    def __init__(self, messages: "Sequence[ModelMessage]", info: "AgentInfo") -> None:
        self._messages = messages[_last_prompt(messages) :]
        self._shown = [info.instructions or "", *self._texts()]
        self.question = without_passages(" ".join(map(_prompt_text, self._prompts()))).strip()
        told = {line.strip() for text in self._shown[:1] for line in without_passages(text).splitlines()}
        self.is_title, self.is_summary = TITLE_TASK in told, SUMMARY_TASK in told
        searchable = any(tool.name == SEARCH_TOOL for tool in info.function_tools)
        self.wants_search = searchable and bool(self.question) and not self.is_title and not self._has_searched()

    @property
    def search_arguments(self) -> dict[str, Any]:
        return {"query": self.question[:MAX_QUERY]}

    def text(self) -> str:
        if self.is_title:
            return title(self.question)
        shown = (passage for text in self._shown for passage in read_passages(text))
        if self.is_summary:
            return digest(shown)
        return answer(self.question, chain(self._search_results(), shown))

    def _parts(self) -> "Iterator[ModelRequestPart]":
        return (part for message in self._messages if message.kind == "request" for part in message.parts)

    def _prompts(self) -> "Iterator[UserPromptPart]":
        return (part for part in self._parts() if part.part_kind == "user-prompt")

    def _texts(self) -> Iterator[str]:
        for part in self._parts():
            if part.part_kind == "system-prompt":
                yield part.content
            elif part.part_kind == "user-prompt":
                yield _prompt_text(part)

    def _has_searched(self) -> bool:
        # The call counts, not its result: a search that failed is not tried again.
        responses = (message for message in self._messages if message.kind == "response")
        parts = (part for response in responses for part in response.parts)
        return any(part.part_kind == "tool-call" and part.tool_name == SEARCH_TOOL for part in parts)

    def _search_results(self) -> Iterator[Passage]:
        for part in self._parts():
            if part.part_kind == "tool-return" and part.tool_name == SEARCH_TOOL and isinstance(part.content, list):
                yield from (_passage(found) for found in part.content if isinstance(found, Mapping))


def _last_prompt(messages: "Sequence[ModelMessage]") -> int:
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message.kind == "request" and any(part.part_kind == "user-prompt" for part in message.parts):
            return index
    return 0


def _prompt_text(part: "UserPromptPart") -> str:
    if isinstance(part.content, str):
        return part.content
    return " ".join(item for item in part.content if isinstance(item, str))


def _passage(found: Mapping[str, Any]) -> Passage:
    """A result of the search tool; what is missing or of the wrong type is left empty."""
    chunk = found.get("chunk_index")
    return Passage(
        title=str(found.get("title") or ""),
        chunk=chunk if isinstance(chunk, int) else 0,
        note=str(found.get("note_id") or ""),
        text=str(found.get("text") or ""),
    )
