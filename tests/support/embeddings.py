"""An OpenAI-compatible embeddings server on loopback that counts what it is sent."""

import asyncio
import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

WIDTH = 64


@dataclass
class EmbeddingServer:
    """Equal texts are near, all others far, and each model has directions of its own. `status` other than 200 is
    answered instead. Once `room` texts were answered `gate` keeps answers back until it is set; `held`: it does."""

    url: str = ""
    texts: list[str] = field(default_factory=list)
    status: int = 200
    room: int = 0
    gate: threading.Event | None = None
    held: threading.Event = field(default_factory=threading.Event)

    async def answer(self, request: Request) -> Response:
        try:
            body = await request.json()
        except ClientDisconnect:
            return Response()
        if self.status != 200:
            return JSONResponse({"error": {"message": "scripted failure"}}, self.status)
        if self.gate is not None and len(self.texts) >= self.room:
            self.held.set()
            await asyncio.to_thread(self.gate.wait, 30)
        self.texts += body["input"]
        rows = [{"index": i, "embedding": direction(body["model"], text)} for i, text in enumerate(body["input"])]
        return JSONResponse({"object": "list", "data": rows, "model": body["model"]})


@contextmanager
def embedding() -> Iterator[EmbeddingServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = EmbeddingServer(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        app = Starlette(routes=[Route("/v1/embeddings", endpoint.answer, methods=["POST"])])
        running = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        try:
            yield endpoint
        finally:
            running.should_exit = True
            thread.join(10)


def direction(model: str, text: str) -> list[float]:
    seed = hashlib.sha256(f"{model}\0{text}".encode()).digest()[:8]
    return np.random.default_rng(int.from_bytes(seed)).standard_normal(WIDTH).tolist()  # type: ignore[no-any-return]
