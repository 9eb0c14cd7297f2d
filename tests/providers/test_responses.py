"""OpenAI's own models, streamed through the Responses API."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pydantic_ai import Agent, exceptions
from pydantic_ai.models import Model

from caret.providers.gateways import create_model, create_streaming_client
from caret.providers.model_list import OPENAI

from .helpers import FakeProvider, failure, pieces, raw, sse


@pytest_asyncio.fixture
async def gpt(provider: FakeProvider) -> AsyncIterator[Model]:
    client = create_streaming_client(provider.url, None, 0.3)
    yield create_model("gpt-6-luna", OPENAI, client)
    await client.close()


def text(content: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": content, "annotations": []}
    return {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}


def call(call_id: str, arguments: str) -> dict[str, Any]:
    return {"type": "function_call", "id": f"f{call_id}", "call_id": call_id, "name": "add", "arguments": arguments}


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "sequence_number": 1, **fields}


def response(*output: dict[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    tokens = {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    head = {"id": "r1", "object": "response", "created_at": 1, "model": "gpt-6-luna", "status": status}
    rest = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": tokens | details}
    return {**head, **rest, "output": list(output), **more}


def text_delta(content: str) -> dict[str, Any]:
    return event("response.output_text.delta", item_id="m", output_index=0, content_index=0, delta=content)


BEGUN = sse(event("response.created", response=response(status="in_progress")))


async def test_text_streams_as_it_comes(provider: FakeProvider, gpt: Model) -> None:
    done = event("response.completed", response=response(text("Hello there")))
    provider.answer = raw(BEGUN, b"event: x\n" + sse(text_delta("Hello ")), sse(text_delta("there")), sse(done))
    agent = Agent(gpt, instructions="Be kind.")
    assert await pieces(agent, "Hello") == ["Hello ", "there"]
    assert provider.calls[0][1] == {
        "include": ["reasoning.encrypted_content"],
        "input": [{"role": "user", "content": "Hello"}],
        "instructions": "Be kind.",
        "model": "gpt-6-luna",
        "reasoning": {"context": "all_turns"},
        "store": False,
        "stream": True,
    }


async def test_calls_of_tools(provider: FakeProvider, gpt: Model) -> None:
    output = (call("a", '{"x": 1, "y": 2}'), call("b", '{"x": 3, "y": 4}'))
    provider.answers = [
        raw(BEGUN, sse(event("response.completed", response=response(*output)))),
        raw(BEGUN, sse(text_delta("3, 7")), sse(event("response.completed", response=response(text("3, 7"))))),
    ]
    agent = Agent(gpt)

    @agent.tool_plain
    def add(x: int, y: int) -> int:
        return x + y

    assert await pieces(agent, "Add up") == ["3, 7"]
    results = [item for item in provider.calls[1][1]["input"] if item.get("type") == "function_call_output"]
    assert results == [
        {"type": "function_call_output", "call_id": "a", "output": "3"},
        {"type": "function_call_output", "call_id": "b", "output": "7"},
    ]


async def test_an_answer_that_was_cut_is_an_answer(provider: FakeProvider, gpt: Model) -> None:
    cut = response(text("Hello"), status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    provider.answer = raw(BEGUN, sse(text_delta("Hello")), sse(event("response.incomplete", response=cut)))
    assert await pieces(Agent(gpt), "Hello") == ["Hello"]


FAILED = {"code": "server_error", "message": "Something broke."}
LIMITED = {"code": "rate_limit_exceeded", "message": "Slow down.", "param": None}
FAILURES = [
    pytest.param(
        raw(BEGUN, sse(event("response.failed", response=response(status="failed", error=FAILED)))),
        exceptions.ModelServerError,
        id="failed",
    ),
    pytest.param(raw(BEGUN, sse(event("error", **LIMITED))), exceptions.ModelRateLimitError, id="error"),
    pytest.param(raw(BEGUN, sse(text_delta("Hi"))), exceptions.ModelConnectionError, id="no end"),
    pytest.param(raw(BEGUN, sse(text_delta("Hi")), ending="drop"), exceptions.ModelConnectionError, id="dropped"),
    pytest.param(raw(BEGUN, sse(text_delta("Hi")), ending="stall"), exceptions.ModelTimeoutError, id="silent"),
    pytest.param(raw(BEGUN, b'data: {"type": \n\n'), exceptions.ModelAPIError, id="malformed"),
    pytest.param(raw(BEGUN, sse({"type": "response.output_text.delta"})), exceptions.ModelAPIError, id="no delta"),
    pytest.param(raw(BEGUN, sse({"type": "response.completed"})), exceptions.ModelAPIError, id="no response"),
    pytest.param(failure(429), exceptions.ModelRateLimitError, id="429"),
    pytest.param(failure(400, code="context_length_exceeded"), exceptions.ModelContextWindowExceededError, id="long"),
]


@pytest.mark.parametrize(("answer", "kind"), FAILURES)
async def test_every_failure_has_its_kind(
    provider: FakeProvider, gpt: Model, answer: Any, kind: type[Exception]
) -> None:
    provider.answer = answer
    with pytest.raises(kind):
        await pieces(Agent(gpt), "Hello")
    assert len(provider.calls) == 1
