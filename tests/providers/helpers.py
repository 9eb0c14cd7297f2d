"""A model provider on loopback, whose answers each test sets and whose calls it reads."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from caret.providers.streaming_client import StreamingClient
from resolvers.core.ports.ai import text_listener

Answer = Callable[[dict[str, Any]], Response]


@dataclass
class FakeProvider:
    """`answers` are used up one by one, then `answer` serves every further call. `calls` holds (headers, body), `ports`
    where each came from; `left` is set when a client went away from a stream that stalled."""

    url: str
    answer: Answer | None = None
    answers: list[Answer] = field(default_factory=list)
    calls: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)

    async def serve(self, request: Request) -> Response:
        body = await request.json()
        self.calls.append((dict(request.headers), body))
        self.ports.append(request.scope["client"][1])
        answer = self.answers.pop(0) if self.answers else self.answer
        return answer(body) if answer else JSONResponse({"error": {"message": "not set up"}}, 500)


def embeddings(vector: Callable[[str], list[float]], *, shuffled: bool = False) -> Answer:
    """Answers with `vector(text)` for each input, in reverse order if `shuffled`."""

    def answer(body: dict[str, Any]) -> Response:
        data = [{"object": "embedding", "index": i, "embedding": vector(t)} for i, t in enumerate(body["input"])]
        data = data[::-1] if shuffled else data
        return JSONResponse({"object": "list", "model": body["model"], "data": data, "usage": {}})

    return answer


def raw(*pieces: bytes, ending: str = "", left: threading.Event | None = None) -> Answer:
    """A stream of these very pieces, each in a packet of its own; then `ending`: "drop" breaks the connection off,
    "stall" keeps it without a word until the client leaves."""

    async def sent() -> AsyncIterator[bytes]:
        try:
            for piece in pieces:
                yield piece
                await asyncio.sleep(0.005)
            if ending == "drop":
                raise ConnectionResetError("scripted break")
            if ending == "stall":
                await asyncio.Event().wait()
        finally:
            if left is not None:
                left.set()

    return lambda body: StreamingResponse(sent(), media_type="text/event-stream")


def sse(*chunks: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk of Chat Completions."""
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "qwen", "choices": [choice]}


def failure(status: int, headers: dict[str, str] | None = None, **error: str) -> Answer:
    return lambda body: JSONResponse({"error": error}, status, headers=headers)


def completion(pieces: list[str], usage: tuple[int, int] | None) -> Answer:
    """A streamed chat completion, one chunk per piece, then the usage (input, output)."""

    def answer(body: dict[str, Any]) -> Response:
        async def lines() -> AsyncIterator[str]:
            for piece in pieces:
                yield _chunk(body, choices=[{"index": 0, "delta": {"role": "assistant", "content": piece}}])
            yield _chunk(body, choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
            if usage:
                counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
                yield _chunk(body, choices=[], usage=counts)
            yield "data: [DONE]\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    return answer


async def complete_and_listen(client: StreamingClient) -> tuple[list[str], dict[str, Any]]:
    """The pieces of text that a listener receives, and the complete answer without its empty fields."""
    received: list[str] = []

    async def receive(*pieces: str) -> None:
        received.extend(pieces)

    listening = text_listener.set(receive)
    try:
        answer = await client.chat.completions.create(model="qwen", messages=[{"role": "user", "content": "Hello"}])
    finally:
        text_listener.reset(listening)
    return received, answer.model_dump(exclude_none=True)


async def pieces(agent: Agent[None, str], question: str, history: list[ModelMessage] | None = None) -> list[str]:
    """The pieces of the answer that a listener receives."""
    received: list[str] = []

    async def receive(*pieces: str) -> None:
        received.extend(pieces)

    listening = text_listener.set(receive)
    try:
        await agent.run(question, message_history=history)
    finally:
        text_listener.reset(listening)
    return received


def _chunk(body: dict[str, Any], **fields: Any) -> str:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    return f"data: {json.dumps(head | fields)}\n\n"
