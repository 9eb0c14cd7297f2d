"""What providers send while they answer, put together: chunks of Chat Completions, and events of the Responses API."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import orjson

MAX_LINE = 1024 * 1024
"""Bytes of one chunk of an answer; a provider that sends more is broken."""
DONE: dict[str, Any] = {}
"""Stands for the line that ends an answer of Chat Completions."""
REASONING = ("reasoning", "reasoning_content")
"""Where servers put what a model thinks before it answers; some want it back with the next request."""


class Broken(Exception):  # noqa: N818 (says what is the matter, as Problem does)
    """An answer that ends here. `body` is the provider's own error, None where it is the form that is wrong."""

    def __init__(self, message: str, body: object = None) -> None:
        super().__init__(message)
        self.body = body


class Lines:
    """Finds the chunks in the bytes of an event stream, however they are cut."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The chunks that `data` completes, DONE among them. Raises Broken."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise Broken("a chunk is too long")
        for line in lines:
            # Comments, names of events and empty lines say nothing that the data doesn't.
            if line.startswith(b"data:") and (content := line[5:].strip()):
                yield DONE if content == b"[DONE]" else parsed(content)


def parsed(content: bytes) -> dict[str, Any]:
    try:
        chunk = orjson.loads(content)
    except ValueError:
        chunk = parsed_leniently(content)
    if not isinstance(chunk, dict):
        raise Broken("a chunk is no object")
    if error := chunk.get("error"):
        message = error.get("message") if isinstance(error, dict) else error
        raise Broken(str(message or "an error in the stream"), error)
    return chunk


def parsed_leniently(content: bytes) -> Any:
    """Half of a surrogate pair is JSON to the standard library alone; here it becomes a question mark, for no database
    and no provider takes it."""
    try:
        return orjson.loads(json.dumps(json.loads(content), ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise Broken("a chunk is no JSON") from None


class Answer(Protocol):
    """The whole of an answer, put together from its chunks."""

    over: bool
    """Whether nothing more is to come."""

    def add(self, chunk: dict[str, Any]) -> str:
        """Returns the text of the chunk that is to be heard. Raises Broken, and whatever a chunk of another form leads
        to (AttributeError, TypeError, KeyError)."""

    def rest(self) -> str:
        """What was held back until the end."""

    def whole(self) -> dict[str, Any] | None:
        """The answer as a request without a stream returns it; None when it ended before it was complete."""


class ChatAnswer:
    def __init__(self, model: str) -> None:
        self.over = False
        self._model = model
        self._last: dict[str, Any] = {}
        self._said: dict[str, list[str]] = {name: [] for name in ("content", "refusal", *REASONING)}
        self._aloud = Aloud()
        self._calls = Calls()
        self._finish: str | None = None
        self._usage: Any = None

    def add(self, chunk: dict[str, Any]) -> str:
        if chunk is DONE:
            self.over = True
            return ""
        self._last = chunk
        self._usage = chunk.get("usage") or self._usage
        text = ""
        for choice in chunk.get("choices") or ():
            text += self._add_delta(choice.get("delta") or {})
            self._finish = choice.get("finish_reason") or self._finish
        if text:
            self._said["content"].append(text)
            text = self._aloud.say(text)
        return text

    def _add_delta(self, delta: dict[str, Any]) -> str:
        text = ""
        for name, told in delta.items():
            if name == "content":
                text = text_of(told)
            elif name == "tool_calls":
                for call in told or ():
                    self._calls.add(call)
            elif name in self._said and isinstance(told, str):
                self._said[name].append(told)
        return text

    def rest(self) -> str:
        return self._aloud.rest()

    def whole(self) -> dict[str, Any] | None:
        # Some servers name no reason, but say that they are done.
        if self._finish is None and not self.over:
            return None
        message = {name: "".join(pieces) or None for name, pieces in self._said.items()}
        calls = {"tool_calls": self._calls.whole} if self._calls.whole else {}
        return {
            "id": self._last.get("id") or "",
            "object": "chat.completion",
            "created": self._last.get("created") or 0,
            "model": self._last.get("model") or self._model,
            "choices": [
                {"index": 0, "finish_reason": self._finish, "message": {"role": "assistant", **message, **calls}}
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


class Calls:
    """The calls of tools in one answer, whose names and arguments come in pieces."""

    def __init__(self) -> None:
        self.whole: list[dict[str, Any]] = []
        self._at: dict[object, dict[str, Any]] = {}

    def add(self, piece: dict[str, Any]) -> None:
        told = piece.get("function") or {}
        call = self._call(piece, told)
        call["id"] = call["id"] or piece.get("id") or ""
        # What Gemini wants back with the call.
        if extra := piece.get("extra_content"):
            call["extra_content"] = extra
        function, name = call["function"], told.get("name") or ""
        # Some servers send the whole name with every piece.
        function["name"] += "" if name == function["name"] else name
        arguments = told.get("arguments") or ""
        function["arguments"] += arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()

    def _call(self, piece: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
        """The call that a piece belongs to. Some servers leave out the index, or give all calls the same one: then
        another id, or a name where there is no id, begins another call."""
        index = piece.get("index")
        call = self._at.get(index)
        if call is not None:
            given = piece.get("id")
            begins = given != call["id"] if given and call["id"] else index is None and bool(told.get("name"))
            if not begins:
                return call
        call = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        self._at[index] = call
        self.whole.append(call)
        return call


class ResponsesAnswer:
    def __init__(self) -> None:
        self.over = False
        self._response: dict[str, Any] | None = None

    def add(self, chunk: dict[str, Any]) -> str:
        match chunk.get("type"):
            case "response.output_text.delta":
                return text_of(chunk["delta"])
            case "response.completed" | "response.incomplete":
                self._response, self.over = {**chunk["response"]}, True
            case "response.failed":
                error = chunk["response"].get("error") or {}
                raise Broken(str(error.get("message") or "the response failed"), error)
            case "error":
                raise Broken(str(chunk.get("message") or "an error in the stream"), chunk)
        return ""

    def rest(self) -> str:
        return ""

    def whole(self) -> dict[str, Any] | None:
        return self._response


class Aloud:
    """Keeps back what stands between <think> tags at the beginning of an answer: so think models whose server does
    not set their thoughts apart."""

    OPENING, CLOSING = "<think>", "</think>"

    def __init__(self) -> None:
        self._held = ""
        self._say: Callable[[str], str] = self._begin

    def say(self, text: str) -> str:
        return self._say(text)

    def rest(self) -> str:
        return self._held if self._say == self._begin else ""

    def _begin(self, text: str) -> str:
        self._held += text
        start = self._held.lstrip()
        if start.startswith(self.OPENING):
            self._say = self._think
            return self._think("")
        if start and self.OPENING.startswith(start):
            return ""
        held, self._held = self._held, ""
        if start:
            self._say = self._speak
        return held

    def _think(self, text: str) -> str:
        before, closing, after = (self._held + text).partition(self.CLOSING)
        if not closing:
            # The tag may have begun.
            self._held = before[-len(self.CLOSING) :]
            return ""
        self._held, self._say = "", self._pause
        return self._pause(after)

    def _speak(self, text: str) -> str:
        return text

    def _pause(self, text: str) -> str:
        """After its thoughts a model leaves a line empty."""
        text = text.lstrip()
        if text:
            self._say = self._speak
        return text
