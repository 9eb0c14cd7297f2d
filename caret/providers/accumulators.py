"""Puts streamed answers together: from chunks of Chat Completions, and from events of the Responses API."""

from collections.abc import Callable
from typing import Any, Protocol

import orjson

from caret.providers.stream_chunks import DONE, BrokenStream

REASONING_FIELDS = ("reasoning", "reasoning_content")
"""Where servers put what a model thinks before it answers; some want it back with the next request."""


class Accumulator(Protocol):
    """An answer that grows chunk by chunk."""

    is_over: bool
    """Whether nothing more is to come."""

    def add(self, chunk: dict[str, Any]) -> str:
        """Returns the text that the chunk adds to the answer. Raises BrokenStream, and for a chunk in another format
        AttributeError, TypeError or KeyError."""

    def held_back(self) -> str:
        """Text that was held back until the end."""

    def result(self) -> dict[str, Any] | None:
        """The answer as a request without a stream returns it; None when it ended before it was complete."""


class ChatAccumulator:
    """An answer of Chat Completions."""

    def __init__(self, model: str) -> None:
        self.is_over = False
        self._model = model
        self._last_chunk: dict[str, Any] = {}
        self._texts: dict[str, list[str]] = {name: [] for name in ("content", "refusal", *REASONING_FIELDS)}
        self._thoughts = ThoughtFilter()
        self._tool_calls = ToolCallAccumulator()
        self._finish_reason: str | None = None
        self._usage: Any = None

    def add(self, chunk: dict[str, Any]) -> str:
        if chunk is DONE:
            self.is_over = True
            return ""
        self._last_chunk = chunk
        self._usage = chunk.get("usage") or self._usage
        text = ""
        for choice in chunk.get("choices") or ():
            text += self._add_delta(choice.get("delta") or {})
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
        if text:
            self._texts["content"].append(text)
            text = self._thoughts.filter(text)
        return text

    def _add_delta(self, delta: dict[str, Any]) -> str:
        text = ""
        for name, value in delta.items():
            if name == "content":
                text = text_of(value)
            elif name == "tool_calls":
                for call in value or ():
                    self._tool_calls.add(call)
            elif name in self._texts and isinstance(value, str):
                self._texts[name].append(value)
        return text

    def held_back(self) -> str:
        return self._thoughts.held_back()

    def result(self) -> dict[str, Any] | None:
        # Some servers send no reason, but the final line.
        if self._finish_reason is None and not self.is_over:
            return None
        message: dict[str, Any] = {name: "".join(pieces) or None for name, pieces in self._texts.items()}
        if self._tool_calls.calls:
            message["tool_calls"] = self._tool_calls.calls
        return {
            "id": self._last_chunk.get("id") or "",
            "object": "chat.completion",
            "created": self._last_chunk.get("created") or 0,
            "model": self._last_chunk.get("model") or self._model,
            "choices": [
                {"index": 0, "finish_reason": self._finish_reason, "message": {"role": "assistant", **message}}
            ],
            "usage": self._usage,
        }


def text_of(content: Any) -> str:
    """The text of a chunk, which some servers send as a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    if content is not None:
        raise TypeError
    return ""


class ToolCallAccumulator:
    """The tool calls of one answer, whose names and arguments come in pieces."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self._by_index: dict[object, dict[str, Any]] = {}

    def add(self, piece: dict[str, Any]) -> None:
        sent = piece.get("function") or {}
        call = self._call_of(piece, sent)
        call["id"] = call["id"] or piece.get("id") or ""
        # Gemini wants this back with the call.
        if extra := piece.get("extra_content"):
            call["extra_content"] = extra
        function, name = call["function"], sent.get("name") or ""
        # Some servers send the whole name with every piece.
        function["name"] += "" if name == function["name"] else name
        arguments = sent.get("arguments") or ""
        function["arguments"] += arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()

    def _call_of(self, piece: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
        """The call that a piece belongs to. Some servers leave out the index, or give all calls the same one: then
        another id, or a name where there is no id, begins another call."""
        index = piece.get("index")
        call = self._by_index.get(index)
        if call is not None and not _begins_call(piece, sent, call):
            return call
        call = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        self._by_index[index] = call
        self.calls.append(call)
        return call


def _begins_call(piece: dict[str, Any], sent: dict[str, Any], current: dict[str, Any]) -> bool:
    """Whether a piece with the index of `current` belongs to another call."""
    call_id = piece.get("id")
    if call_id and current["id"]:
        return bool(call_id != current["id"])
    return piece.get("index") is None and bool(sent.get("name"))


class ResponsesAccumulator:
    """An answer of the Responses API, whose last event contains all of it."""

    def __init__(self) -> None:
        self.is_over = False
        self._response: dict[str, Any] | None = None

    def add(self, chunk: dict[str, Any]) -> str:
        match chunk.get("type"):
            case "response.output_text.delta":
                return text_of(chunk["delta"])
            case "response.completed" | "response.incomplete":
                self._response, self.is_over = {**chunk["response"]}, True
            case "response.failed":
                error = chunk["response"].get("error") or {}
                raise BrokenStream(str(error.get("message") or "the response failed"), error)
            case "error":
                raise BrokenStream(str(chunk.get("message") or "an error in the stream"), chunk)
        return ""

    def held_back(self) -> str:
        return ""

    def result(self) -> dict[str, Any] | None:
        return self._response


class ThoughtFilter:
    """Removes what stands between <think> tags at the beginning of an answer, where models put their thoughts when
    their server does not separate these."""

    OPENING, CLOSING = "<think>", "</think>"

    def __init__(self) -> None:
        self._held_back = ""
        self._step: Callable[[str], str] = self._at_beginning

    def filter(self, text: str) -> str:
        """The part of the next piece of text that belongs to the answer."""
        return self._step(text)

    def held_back(self) -> str:
        """What was held back because it might have been the beginning of a tag."""
        return self._held_back if self._step == self._at_beginning else ""

    def _at_beginning(self, text: str) -> str:
        self._held_back += text
        start = self._held_back.lstrip()
        if start.startswith(self.OPENING):
            self._step = self._in_thoughts
            return self._in_thoughts("")
        if start and self.OPENING.startswith(start):
            return ""
        text, self._held_back = self._held_back, ""
        if start:
            self._step = self._in_answer
        return text

    def _in_thoughts(self, text: str) -> str:
        before, closing, after = (self._held_back + text).partition(self.CLOSING)
        if not closing:
            # The closing tag may have begun.
            self._held_back = before[-len(self.CLOSING) :]
            return ""
        self._held_back, self._step = "", self._after_thoughts
        return self._after_thoughts(after)

    def _in_answer(self, text: str) -> str:
        return text

    def _after_thoughts(self, text: str) -> str:
        """Models write an empty line between their thoughts and their answer."""
        text = text.lstrip()
        if text:
            self._step = self._in_answer
        return text
