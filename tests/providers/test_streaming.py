"""A streamed answer: the pieces that a listener receives, and the complete answer."""

import asyncio
import json
from typing import Any

import pytest

from caret.providers.streaming_client import StreamingClient

from .helpers import FakeProvider, complete_and_listen, completion, delta, raw, sse

END = b"data: [DONE]\n\n"
TEXT = "Grüße, 世界 🎉"
STOP = sse(delta("stop"))


def complete_answer(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}}
    choice |= {"finish_reason": finish} if finish else {}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "qwen", "choices": [choice]}


PIECES = [sse(delta(role="assistant", content=""), delta(content=TEXT[:5])), sse(delta(content=TEXT[5:]))]
JOINED = b"".join(PIECES) + STOP
UNESCAPED = json.dumps(delta(content=TEXT[5:]), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([*PIECES, STOP, END], id="as OpenAI sends it"),
        pytest.param([*PIECES, STOP], id="without [DONE]"),
        pytest.param([JOINED + END], id="all at once"),
        pytest.param([JOINED[at : at + 7] for at in range(0, len(JOINED), 7)], id="cut anywhere"),
        pytest.param([(JOINED + END).replace(b"\n", b"\r\n")], id="CRLF"),
        pytest.param([JOINED.replace(b"data: ", b"data:") + b"data:[DONE]"], id="without spaces"),
        pytest.param(
            [b": working\n\n", PIECES[0], b"event: x\nid: 1\nretry: 5\n:\n\n", PIECES[1], STOP], id="comments"
        ),
        pytest.param([*PIECES, STOP.rstrip()], id="without the last line end"),
        pytest.param([*PIECES, STOP, END, sse(delta(content="more"))], id="words after the end"),
        pytest.param([PIECES[0], sse(delta(content=[{"type": "text", "text": TEXT[5:]}])), STOP], id="lists of parts"),
        pytest.param([PIECES[0], b"data: ", *(bytes([byte]) for byte in UNESCAPED), b"\n\n", STOP], id="byte by byte"),
    ],
)
async def test_every_form_of_a_text(provider: FakeProvider, client: StreamingClient, sent: list[bytes]) -> None:
    provider.answer = raw(*sent)
    assert await complete_and_listen(client) == ([TEXT[:5], TEXT[5:]], complete_answer(content=TEXT))


async def test_an_answer_ends_with_a_reason_or_with_done(provider: FakeProvider, client: StreamingClient) -> None:
    provider.answer = raw(sse(delta(content="Hi")), END)
    assert await complete_and_listen(client) == (["Hi"], complete_answer(None, content="Hi"))
    provider.answer = raw(sse(delta(content="Hi")), sse(delta("length")))
    assert await complete_and_listen(client) == (["Hi"], complete_answer("length", content="Hi"))


async def test_an_end_that_is_held_open_is_not_waited_for(provider: FakeProvider, client: StreamingClient) -> None:
    provider.answer = raw(sse(delta(content="Hi")), STOP, END, ending="stall", left=provider.left)
    assert await complete_and_listen(client) == (["Hi"], complete_answer(content="Hi"))
    assert await asyncio.to_thread(provider.left.wait, 10)
    provider.answer = raw(sse(delta(content="Hi")), STOP, END, ending="drop")
    assert await complete_and_listen(client) == (["Hi"], complete_answer(content="Hi"))


async def test_usage_comes_last(provider: FakeProvider, client: StreamingClient) -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
    provider.answer = raw(sse(delta(content="Hi")), STOP, sse({**delta(), "choices": [], "usage": usage}), END)
    assert await complete_and_listen(client) == (["Hi"], {**complete_answer(content="Hi"), "usage": usage})
    assert provider.calls[0][1] == {
        "messages": [{"role": "user", "content": "Hello"}],
        "model": "qwen",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_halves_of_characters_are_replaced(provider: FakeProvider, client: StreamingClient) -> None:
    provider.answer = raw(sse(delta(content="a\ud83d")), sse(delta(content="\ude00b")), STOP)
    assert await complete_and_listen(client) == (["a?", "?b"], complete_answer(content="a??b"))


CALLS = [
    {"id": "a", "type": "function", "function": {"name": "search", "arguments": '{"q": "ü1"}'}},
    {"id": "b", "type": "function", "function": {"name": "search", "arguments": '{"q": 2}'}},
]


def piece(index: int | None, call_id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    return delta(
        tool_calls=[present_fields(index=index, id=call_id, function=present_fields(name=name, arguments=arguments))]
    )


def present_fields(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


FIRST, SECOND = '{"q": "ü1"}', '{"q": 2}'
FORMS = {
    "mixed pieces": [
        piece(0, "a", "search", ""),
        piece(1, "b", "search", ""),
        piece(0, None, None, '{"q": '),
        piece(1, None, None, '{"q"'),
        piece(0, None, None, '"ü1"}'),
        piece(1, None, None, ": 2}"),
    ],
    "no index": [piece(None, "a", "search", FIRST), piece(None, "b", "search", SECOND)],
    "no index, split": [
        piece(None, "a", "search", FIRST[:5]),
        piece(None, None, None, FIRST[5:]),
        piece(None, "b", "search", SECOND),
    ],
    "one index": [piece(0, "a", "search", FIRST), piece(0, "b", "search", SECOND)],
    "everything sent twice": [
        piece(0, "a", "search", ""),
        piece(0, "a", "search", FIRST),
        piece(1, "b", "search", SECOND),
    ],
    "a name in pieces": [
        piece(0, "a", "search", FIRST),
        piece(1, "b", "sea", SECOND),
        piece(1, None, "rch", None),
    ],
}


@pytest.mark.parametrize("sent", FORMS.values(), ids=FORMS.keys())
async def test_every_form_of_calls(provider: FakeProvider, client: StreamingClient, sent: list[dict[str, Any]]) -> None:
    provider.answer = raw(*map(sse, sent), sse(delta("tool_calls")), END)
    assert await complete_and_listen(client) == ([], complete_answer("tool_calls", tool_calls=CALLS))


async def test_calls_without_ids_and_arguments_that_are_no_text(
    provider: FakeProvider, client: StreamingClient
) -> None:
    provider.answer = raw(
        sse(piece(None, None, "search", {"q": 1})), sse(piece(None, None, "search", {"q": 2})), sse(delta("tool_calls"))
    )
    calls = [
        {"id": "", "type": "function", "function": {"name": "search", "arguments": f'{{"q":{n}}}'}} for n in (1, 2)
    ]
    assert await complete_and_listen(client) == ([], complete_answer("tool_calls", tool_calls=calls))


async def test_fields_that_the_provider_needs_again_are_in_the_answer(
    provider: FakeProvider, client: StreamingClient
) -> None:
    extra = {"google": {"thought_signature": "abc"}}
    call = {"index": 0, "id": "a", "function": {"name": "search", "arguments": "{}"}, "extra_content": extra}
    provider.answer = raw(
        sse(delta(reasoning="I sh", reasoning_content="I sh"), delta(reasoning="ould", reasoning_content="ould")),
        sse(delta(tool_calls=[call])),
        sse(delta("tool_calls")),
    )
    stored_call = {
        "id": "a",
        "type": "function",
        "function": {"name": "search", "arguments": "{}"},
        "extra_content": extra,
    }
    assert await complete_and_listen(client) == (
        [],
        complete_answer("tool_calls", reasoning="I should", reasoning_content="I should", tool_calls=[stored_call]),
    )


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (["<think>", "Let me see.", "</think>", "\n\n", "Yes", "."], ["Yes", "."]),
        (["<th", "ink>Hm", "m</thi", "nk>\nYes"], ["Yes"]),
        (["<think>a</think>Yes"], ["Yes"]),
        (["\n", "<think>a<", "/think>", "Yes <think>"], ["\n", "Yes <think>"]),
        (["<", "b>Yes</b>"], ["<b>Yes</b>"]),
        (["Yes", " <think>", "no"], ["Yes", " <think>", "no"]),
        (["<thi"], ["<thi"]),
        (["<think>never done"], []),
    ],
)
async def test_thoughts_are_not_streamed(
    provider: FakeProvider, client: StreamingClient, sent: list[str], received: list[str]
) -> None:
    provider.answer = raw(*(sse(delta(content=text)) for text in sent), STOP)
    assert await complete_and_listen(client) == (received, complete_answer(content="".join(sent)))


async def test_a_refusal_is_in_the_answer_and_not_streamed(provider: FakeProvider, client: StreamingClient) -> None:
    provider.answer = raw(sse(delta(refusal="I can't ")), sse(delta(refusal="help.")), STOP)
    assert await complete_and_listen(client) == ([], complete_answer(refusal="I can't help."))


async def test_nobody_listens(provider: FakeProvider, client: StreamingClient) -> None:
    provider.answer = completion(["Hel", "lo"], None)
    stream = await client.chat.completions.create(model="qwen", messages=[], stream=True)
    assert [chunk.choices[0].delta.content async for chunk in stream] == ["Hel", "lo", None]


async def test_a_connection_serves_again(provider: FakeProvider, client: StreamingClient) -> None:
    provider.answer = completion(["Hel", "lo"], (1, 2))
    ports = set()
    for _ in range(5):
        await complete_and_listen(client)
        ports.add(provider.ports[-1])
    assert len(ports) == 1
