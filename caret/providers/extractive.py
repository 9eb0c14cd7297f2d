"""The built-in model: it quotes the passages in its prompt, through the same agent code as any provider's model.

Its imports take over a second: the catalogue loads this module when the model is needed.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequestPart,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel

from caret.providers.model_list import EXTRACTIVE
from caret.providers.quotes import answer, digest, read_passages, title, without_passages
from resolvers.core.ports.ai import Passage, text_listener

SEARCH_TOOL = "search_workspace_context"
MAX_QUERY = 2000
"""Characters; the tool's own limit."""
TITLE_TASK = "Task: title"
SUMMARY_TASK = "Task: summary"


def create_model() -> Model:
    """Answers a request in one of four ways, and always in the same way for the same messages.

    * A line `Task: title` in the instructions: a title for the user's message.
    * A line `Task: summary` there: the sentences that say most of what the passages are about.
    * A tool `search_workspace_context` that this turn hasn't called: a call of it with the user's question.
    * Otherwise an answer quoted from the passages in the instructions, in this turn's messages (see
      `resolvers.core.ports.ai.passages_block`) and in this turn's tool results, a list of
      `{title, chunk_index, text, note_id, score}`.

    The `text_listener` receives the text word by word. The usage is FunctionModel's rough estimate.
    """

    async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turn = _Turn(messages, info)
        if turn.needs_search:
            return ModelResponse(parts=[ToolCallPart(SEARCH_TOOL, turn.search_arguments)])
        text, listener = await asyncio.to_thread(turn.text), text_listener.get()
        if listener is not None:
            for piece in re.findall(r"\S+\s*", text):
                await listener(piece)
                await asyncio.sleep(0)
        return ModelResponse(parts=[TextPart(text)])

    return FunctionModel(respond, model_name=EXTRACTIVE.id)


class _Turn:
    """The messages since the user's last one."""

    def __init__(self, messages: Sequence[ModelMessage], info: AgentInfo) -> None:
        self._messages = messages[_last_prompt(messages) :]
        self._prompt_texts = [info.instructions or "", *self._texts()]
        self.question = without_passages(" ".join(map(_prompt_text, self._prompts()))).strip()
        instructions = {line.strip() for text in self._prompt_texts[:1] for line in without_passages(text).splitlines()}
        self.is_title, self.is_summary = TITLE_TASK in instructions, SUMMARY_TASK in instructions
        searchable = any(tool.name == SEARCH_TOOL for tool in info.function_tools)
        self.needs_search = searchable and bool(self.question) and not self.is_title and not self._has_searched()

    @property
    def search_arguments(self) -> dict[str, Any]:
        return {"query": self.question[:MAX_QUERY]}

    def text(self) -> str:
        if self.is_title:
            return title(self.question)
        passages = (passage for text in self._prompt_texts for passage in read_passages(text))
        if self.is_summary:
            return digest(passages)
        return answer(self.question, chain(self._search_results(), passages))

    def _parts(self) -> Iterator[ModelRequestPart]:
        return (part for message in self._messages if message.kind == "request" for part in message.parts)

    def _prompts(self) -> Iterator[UserPromptPart]:
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
                yield from (_passage(hit) for hit in part.content if isinstance(hit, Mapping))


def _last_prompt(messages: Sequence[ModelMessage]) -> int:
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message.kind == "request" and any(part.part_kind == "user-prompt" for part in message.parts):
            return index
    return 0


def _prompt_text(part: UserPromptPart) -> str:
    if isinstance(part.content, str):
        return part.content
    return " ".join(item for item in part.content if isinstance(item, str))


def _passage(hit: Mapping[str, Any]) -> Passage:
    """A result of the search tool; a missing or malformed field is empty."""
    chunk = hit.get("chunk_index")
    return Passage(
        title=str(hit.get("title") or ""),
        chunk=chunk if isinstance(chunk, int) else 0,
        note=str(hit.get("note_id") or ""),
        text=str(hit.get("text") or ""),
    )
