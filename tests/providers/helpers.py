"""A model provider on loopback, whose answers each test sets and whose calls it reads."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

Answer = Callable[[dict[str, Any]], Response]


@dataclass
class FakeProvider:
    """`answers` are used up one by one, then `answer` serves every further call. `calls` holds (headers, body)."""

    url: str
    answer: Answer | None = None
    answers: list[Answer] = field(default_factory=list)
    calls: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    async def serve(self, request: Request) -> Response:
        body = await request.json()
        self.calls.append((dict(request.headers), body))
        answer = self.answers.pop(0) if self.answers else self.answer
        return answer(body) if answer else JSONResponse({"error": {"message": "not set up"}}, 500)


def embeddings(vector: Callable[[str], list[float]], *, shuffled: bool = False) -> Answer:
    """Answers with `vector(text)` for each input, in reverse order if `shuffled`."""

    def answer(body: dict[str, Any]) -> Response:
        data = [{"object": "embedding", "index": i, "embedding": vector(t)} for i, t in enumerate(body["input"])]
        data = data[::-1] if shuffled else data
        return JSONResponse({"object": "list", "model": body["model"], "data": data, "usage": {}})

    return answer


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


def _chunk(body: dict[str, Any], **fields: Any) -> str:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    return f"data: {json.dumps(head | fields)}\n\n"
