"""An OpenAI-compatible chat server on loopback that says what a test tells it to."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL = "scripted"
TITLE_TASK = "Task: title"
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A call of a tool: `arguments` is its JSON text, sent in pieces of `width` characters."""

    id: str
    name: str
    arguments: str = "{}"
    width: int = 7


@dataclass
class Script:
    """What to answer to one request: pieces of text, `delay` seconds before each, then calls of tools; or a failure.

    `gate`: hold back the pieces after the first until it is set. After so many pieces: `break_after` drops the
    connection, `error_after` sends the provider's error in the stream, `garble_after` sends what is no JSON,
    `stall_after` says nothing more and keeps the connection until the caller gives up. `status`: refuse at once, with
    `retry_after` seconds in a header; `times`: only so many first requests; `models`: only these. `usage`: whether to
    tell the tokens at the end.
    """

    pieces: Sequence[str] = ("All ", "is ", "well.")
    delay: float = 0.0
    status: int = 200
    retry_after: str | None = None
    times: int | None = None
    models: Sequence[str] | None = None
    error: dict[str, Any] = field(default_factory=lambda: {"message": "scripted failure", "type": "server_error"})
    break_after: int | None = None
    error_after: int | None = None
    garble_after: int | None = None
    stall_after: int | None = None
    gate: threading.Event | None = None
    calls: Sequence[Call] = ()
    usage: bool = True


@dataclass
class ScriptedModel:
    """The server. `on(text, …)`: a request whose last user message contains `text` gets the first of the scripts,
    after the first results of tools the second, and so on; the last of them stays."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    scripts: dict[str, tuple[Script, ...]] = field(default_factory=dict)
    titles: dict[str, str | Script] = field(default_factory=dict)
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    def on(self, text: str, *scripts: Script) -> None:
        self.scripts[text] = scripts

    def title(self, text: str, title: str | Script) -> None:
        """What it calls a conversation or a note whose text contains this, or how it fails to."""
        self.titles[text] = title

    def requests_with(self, text: str) -> list[dict[str, Any]]:
        """The bodies of the requests whose last user message contains `text`."""
        return [request for request in self.requests if text in last_user_message(request)]

    def start(self) -> None:
        app = Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        started = threading.Event()
        self._server.startup = notify_when_started(self._server.startup, started)  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        assert started.wait(10)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"

    def stop(self) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = True
        self._thread.join(10)

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        message = last_user_message(body)
        if TITLE_TASK in str(body["messages"][0]["content"]):
            title = first_match(self.titles, message, "Scripted Title Of This Talk")
            scripts: tuple[Script, ...] = (title if isinstance(title, Script) else Script([title]),)
        else:
            scripts = first_match(self.scripts, message, (Script(),))
        script = scripts[min(steps_taken(body), len(scripts) - 1)]
        if refuses(script, body["model"], len(self.requests_with(message))):
            headers = {} if script.retry_after is None else {"Retry-After": script.retry_after}
            return JSONResponse({"error": script.error}, script.status, headers)
        if not body.get("stream"):
            return JSONResponse(completion("Not streamed."))
        return StreamingResponse(stream(script), media_type="text/event-stream")


def notify_when_started(startup: Callable[..., Any], started: threading.Event) -> Callable[..., Any]:
    async def wrapped(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        started.set()

    return wrapped


def last_user_message(body: dict[str, Any]) -> str:
    texts = [message["content"] for message in body["messages"] if message["role"] == "user"]
    return texts[-1] if texts and isinstance(texts[-1], str) else ""


def first_match(values: dict[str, T], message: str, default: T) -> T:
    return next((value for text, value in values.items() if text in message), default)


def refuses(script: Script, model: str, number: int) -> bool:
    """Whether the request is refused, the `number`th of those with the same last user message."""
    in_time = script.times is None or number <= script.times
    return script.status != 200 and in_time and (script.models is None or model in script.models)


def steps_taken(body: dict[str, Any]) -> int:
    """How often the model has called tools since the user last spoke."""
    roles = [message["role"] for message in body["messages"]]
    last = len(roles) - 1 - roles[::-1].index("user")
    return roles[last:].count("assistant")


def completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }


async def stream(script: Script) -> AsyncIterator[str]:
    for number, piece in enumerate(script.pieces):
        if (failure := fails(script, number)) is not None:
            yield failure
            return
        if number and script.gate is not None:
            await asyncio.to_thread(script.gate.wait, 30)
        if number == script.stall_after:
            await asyncio.Event().wait()
        if script.delay:
            await asyncio.sleep(script.delay)
        yield sse(chunk({"role": "assistant", "content": piece}))
    for frame in calling(script.calls):
        yield frame
    yield sse(chunk({}, "tool_calls" if script.calls else "stop"))
    if script.usage:
        count = len(script.pieces)
        usage = {"prompt_tokens": 11, "completion_tokens": count, "total_tokens": 11 + count}
        yield sse({**chunk({}), "choices": [], "usage": usage})
    yield "data: [DONE]\n\n"


def fails(script: Script, number: int) -> str | None:
    """What the stream ends with before piece `number`, if it is to fail there."""
    if number == script.break_after:
        raise ConnectionResetError("scripted break")
    if number == script.error_after:
        return sse({"error": script.error})
    if number == script.garble_after:
        return 'data: {"choices": [{"index": 0, "delta": {"conte\n\n'
    return None


def calling(calls: Sequence[Call]) -> Iterator[str]:
    """The calls of one step as providers stream them: the name first, then the arguments in pieces, all calls mixed."""
    for index, call in enumerate(calls):
        function = {"name": call.name, "arguments": ""}
        yield sse(chunk({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}))
    pieces = [
        [call.arguments[at : at + call.width] for at in range(0, len(call.arguments), call.width)] for call in calls
    ]
    for row in zip_longest(*pieces):
        for index, piece in enumerate(row):
            if piece is not None:
                yield sse(chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}


def sse(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"
