"""The history of a conversation in the form that a model gets: texts, and tool calls with their results."""

from collections.abc import Collection, Iterator, Sequence
from itertools import count, groupby, pairwise
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from sqlalchemy import select
from sqlmodel import col

from models import Message
from models.base import Record
from models.conversation import MessageRole
from models.limits import limit
from resolvers.agents.tool_results import cut_texts
from resolvers.core.ports.agents import ReplyRequest

MAX_HISTORY_MESSAGES = limit(
    100, "Messages of a conversation that a model gets", area="Agents", beyond="the newest ones are sent"
)
MAX_HISTORY_RESULT_CHARACTERS = limit(
    4_000,
    "A tool's arguments, and its result, as later turns get them",
    area="Agents",
    unit="characters",
    beyond="their longest texts are cut",
)
RESERVED_TOKENS = limit(
    8_192,
    "Tokens of a model's context window that are reserved for its answer and the tools' results, at most half of it",
    area="Agents",
    beyond="the oldest messages are left out",
)
UNFINISHED = {"error": "The call was stopped before it had a result."}

Exchange = Sequence[Record]
"""A user's message and the reply to it. There is no reply if it failed before its first word."""


async def read_history(request: ReplyRequest, instructions: str, tools: Collection[str]) -> list[ModelMessage]:
    """Returns the exchanges before the request, oldest first: as many of the newest as fit into the context window."""
    budget, call_numbers = _token_budget(request, instructions), count(1)
    exchanges = [_to_messages(rows, tools, call_numbers) for rows in _exchanges(await _read_messages(request))]
    history: list[ModelMessage] = []
    for messages in reversed(exchanges):
        budget -= sum(_count_tokens(request, message) for message in messages)
        if budget < 0:
            break
        history = messages + history
    return history


def _token_budget(request: ReplyRequest, instructions: str) -> int:
    models, model_id = request.ctx.models, request.model_id
    window = next(card.context_window for card in models.cards if card.id == model_id)
    used = sum(models.count_tokens(model_id, text) for text in (instructions, request.text))
    return window - used - min(RESERVED_TOKENS, window // 2)


async def _read_messages(request: ReplyRequest) -> Sequence[Record]:
    """Returns the messages before the request, oldest first."""
    query = (
        select(col(Message.role), col(Message.content), col(Message.tool_calls))
        .where(
            col(Message.conversation_id) == request.conversation_id,
            col(Message.id).not_in([request.message_id, request.reply_id]),
        )
        .order_by(col(Message.created_at).desc(), col(Message.id).desc())
        .limit(MAX_HISTORY_MESSAGES)
    )
    async with request.ctx.read() as tx:
        return (await tx.execute(query)).all()[::-1]


def _exchanges(messages: Sequence[Record]) -> list[Exchange]:
    """Leaves out a reply whose user message is not among the messages."""
    starts = [index for index, message in enumerate(messages) if message.role is MessageRole.USER]
    return [messages[start:end] for start, end in pairwise([*starts, len(messages)])]


def _to_messages(exchange: Exchange, tools: Collection[str], call_numbers: Iterator[int]) -> list[ModelMessage]:
    user_message, *replies = exchange
    messages: list[ModelMessage] = [ModelRequest([UserPromptPart(user_message.content)])]
    for reply in replies:
        messages.extend(_reply_messages(reply, tools, call_numbers))
    return messages


def _reply_messages(reply: Record, tools: Collection[str], call_numbers: Iterator[int]) -> Iterator[ModelMessage]:
    """Yields a reply step by step: the text before the step's calls together with the calls, then their results.

    Calls of tools that this turn's agent does not have are left out, like calls of tools that do not exist: some
    providers refuse a call without its tool.
    """
    calls = [call for call in reply.tool_calls if call["tool_name"] in tools]
    offset = 0
    for _, step in groupby(calls, key=lambda call: call.get("step")):
        step_calls = list(step)
        text, offset = reply.content[offset : step_calls[0]["text_offset"]], step_calls[0]["text_offset"]
        parts = [_call_parts(call, next(call_numbers)) for call in step_calls]
        yield ModelResponse([*([TextPart(text)] if text else []), *(call for call, _ in parts)])
        yield ModelRequest([result for _, result in parts])
    if remaining_text := reply.content[offset:]:
        yield ModelResponse([TextPart(remaining_text)])


def _call_parts(call: dict[str, Any], number: int) -> tuple[ToolCallPart, ToolReturnPart]:
    # A unique id that every provider accepts. Ids of other providers may be too long, or repeat from turn to turn.
    name, call_id = call["tool_name"], f"call{number:05}"
    result = UNFINISHED if call["result_summary"] is None else _shorten(call["result"])
    return ToolCallPart(name, _shorten(call["arguments"]), call_id), ToolReturnPart(name, result, call_id)


def _shorten(value: Any) -> Any:
    return cut_texts(value, MAX_HISTORY_RESULT_CHARACTERS)


def _count_tokens(request: ReplyRequest, message: ModelMessage) -> int:
    """Estimates a message's tokens. The provider's count is not used: it may include hidden reasoning."""
    return sum(request.ctx.models.count_tokens(request.model_id, text) for text in _texts(message))


def _texts(message: ModelMessage) -> Iterator[str]:
    for part in message.parts:
        match part:
            case UserPromptPart(content=str(text)) | TextPart(content=text):
                yield text
            case ToolCallPart():
                yield part.tool_name + part.args_as_json_str()
            case ToolReturnPart():
                yield part.model_response_str()
