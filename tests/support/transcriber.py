"""An OpenAI-compatible transcription server on loopback that responds as a test scripts it."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.llm import notify_when_started

MODEL = "scripted-ears"
TRANSCRIPTION: dict[str, Any] = {
    "task": "transcribe",
    "language": "en",
    "duration": 12.5,
    "text": "We move in May. Ann rents the van.",
    "segments": [
        {"id": 0, "start": 0.0, "end": 4.2, "text": " We move in May.", "speaker": "Ben"},
        {"id": 1, "start": 4.2, "end": 12.5, "text": " Ann rents the van."},
    ],
}


@dataclass
class ReceivedRequest:
    """One request: its form fields, the name, type, size and SHA-256 of its file, and its headers."""

    form: dict[str, Any]
    filename: str
    content_type: str
    size: int
    sha256: str
    headers: dict[str, str]


@dataclass
class ScriptedResponse:
    """What to answer. `gate`: only once it is set."""

    answer: Any = field(default_factory=lambda: TRANSCRIPTION)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None


@dataclass
class ScriptedTranscriber:
    """The server. `on(mark, *hearings)`: audio that contains `mark` gets these one after the other, the last for good.

    `answer` may be bytes, which are sent as they are, or JSON.
    """

    url: str = ""
    requests: dict[bytes, list[ReceivedRequest]] = field(default_factory=dict)
    responses: dict[bytes, list[ScriptedResponse]] = field(default_factory=dict)
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    def on(self, mark: bytes, *responses: ScriptedResponse) -> None:
        self.responses[mark] = list(responses)

    def requests_with(self, mark: bytes) -> Sequence[ReceivedRequest]:
        return self.requests.get(mark, [])

    def start(self) -> None:
        app = Starlette(routes=[Route("/v1/audio/transcriptions", self._transcribe, methods=["POST"])])
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        started = threading.Event()
        self._server.startup = notify_when_started(self._server.startup, started)  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        assert started.wait(10)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}/v1"

    def stop(self) -> None:
        assert self._server is not None
        assert self._thread is not None
        for scripted in (one for many in self.responses.values() for one in many if one.gate):
            scripted.gate.set()  # type: ignore[union-attr]  # just looked
        self._server.should_exit = True
        self._thread.join(10)

    async def _transcribe(self, request: Request) -> Response:
        body = await request.body()
        # Also audio without a mark may have hearings: every body contains it.
        mark = max((mark for mark in self.responses if mark in body), key=len, default=b"")
        self.requests.setdefault(mark, []).append(read(body, request))
        waiting = self.responses.get(mark) or [ScriptedResponse()]
        scripted = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if scripted.gate is not None:
            await asyncio.to_thread(scripted.gate.wait, 30)
        if isinstance(scripted.answer, bytes):
            return Response(scripted.answer, scripted.status, scripted.headers, "text/plain")
        return Response(
            json.dumps(scripted.answer),
            scripted.status,
            scripted.headers,
            "application/json",
        )


def read(body: bytes, request: Request) -> ReceivedRequest:
    """The parts of a multipart form, read without a library: one file, and fields of one line."""
    boundary = b"--" + request.headers["content-type"].partition("boundary=")[2].strip('"').encode()
    form: dict[str, Any] = {}
    received = ReceivedRequest(form, "", "", 0, "", dict(request.headers))
    for part in body.split(boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        headers_text = head.decode()
        name = headers_text.partition('name="')[2].partition('"')[0]
        if 'filename="' in headers_text:
            received.filename = headers_text.partition('filename="')[2].partition('"')[0]
            received.content_type = headers_text.lower().partition("content-type:")[2].strip()
            received.size, received.sha256 = len(content), hashlib.sha256(content).hexdigest()
        else:
            form[name] = content.decode()
    return received
