"""An OpenAI-compatible chat server on loopback that says what a test tells it to."""

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL = "scripted"


@dataclass
class Script:
    """What to answer: pieces of text, `delay` seconds before each; or a failing status.

    `gate`: hold back the pieces after the first until it is set.
    """

    pieces: Sequence[str] = ("All ", "is ", "well.")
    delay: float = 0.0
    status: int = 200
    break_after: int | None = None
    gate: threading.Event | None = None


@dataclass
class ScriptedModel:
    """The server. `on(text, script)`: a request whose last user message contains `text` gets that script."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    scripts: dict[str, Script] = field(default_factory=dict)
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    def on(self, text: str, script: Script) -> None:
        self.scripts[text] = script

    def asked(self, text: str) -> list[dict[str, Any]]:
        """The bodies of the requests whose last user message contains `text`."""
        return [request for request in self.requests if text in last_user_message(request)]

    def start(self) -> None:
        app = Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        started = threading.Event()
        self._server.startup = _telling(self._server.startup, started)  # type: ignore[method-assign]
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
        asked = last_user_message(body)
        script = next((script for text, script in self.scripts.items() if text in asked), Script())
        if script.status != 200:
            return JSONResponse({"error": {"message": "scripted failure", "type": "server_error"}}, script.status)
        if not body.get("stream"):
            return JSONResponse(whole("Scripted Title Of This Talk"))
        return StreamingResponse(stream(script), media_type="text/event-stream")


def _telling(startup: Callable[..., Any], started: threading.Event) -> Callable[..., Any]:
    async def wrapped(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        started.set()

    return wrapped


def last_user_message(body: dict[str, Any]) -> str:
    said = [message["content"] for message in body["messages"] if message["role"] == "user"]
    return said[-1] if said and isinstance(said[-1], str) else ""


def whole(text: str) -> dict[str, Any]:
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
        if number == script.break_after:
            raise ConnectionResetError("scripted break")
        if number and script.gate is not None:
            await asyncio.to_thread(script.gate.wait, 30)
        if script.delay:
            await asyncio.sleep(script.delay)
        yield sse(chunk({"role": "assistant", "content": piece}))
    yield sse(chunk({}, "stop"))
    usage = {"prompt_tokens": 11, "completion_tokens": len(script.pieces), "total_tokens": 11 + len(script.pieces)}
    yield sse({**chunk({}), "choices": [], "usage": usage})
    yield "data: [DONE]\n\n"


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}


def sse(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def main(pieces: int, delay: float) -> None:
    """Serves answers of `pieces` pieces in a process of its own, for benchmarks; prints the address."""
    model = ScriptedModel()
    model.on("", Script([f"word{number} " for number in range(pieces)], delay=delay))
    model.start()
    print(model.url, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
