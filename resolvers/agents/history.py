"""What was said before, in the form that a model gets back: texts, and the calls of tools with their results."""

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
from resolvers.agents.tool_results import bounded
from resolvers.core.ports.agents import ReplyRequest

RECALLED_MESSAGES = 100
"""Messages of a conversation that a model may get back, the newest."""
RECALLED_RESULT = 4_000
"""Characters of a tool's result, or of its arguments, that a later turn gets back."""
RESERVE = 8_192
"""Tokens of a model's window that are kept for the answer and what tools give back, but half of it at most."""
UNFINISHED = {"error": "The call was stopped before it had a result."}

Exchange = Sequence[Record]
"""A user's message and the reply to it; without a reply where it failed before its first word."""


async def history(question: ReplyRequest, instructions: str, tools: Collection[str]) -> list[ModelMessage]:
    """The exchanges before the question, oldest first: as many of the newest as fit into the model's window."""
    left, numbers = _room(question, instructions), count(1)
    exchanges = [_told(exchange, tools, numbers) for exchange in _exchanges(await _earlier(question))]
    kept: list[ModelMessage] = []
    for told in reversed(exchanges):
        left -= sum(_tokens(question, message) for message in told)
        if left < 0:
            break
        kept = told + kept
    return kept


def _room(question: ReplyRequest, instructions: str) -> int:
    """Tokens that the history may take."""
    models, model_id = question.ctx.models, question.model_id
    window = next(card.context_window for card in models.cards if card.id == model_id)
    taken = sum(models.count_tokens(model_id, text) for text in (instructions, question.text))
    return window - taken - min(RESERVE, window // 2)


async def _earlier(question: ReplyRequest) -> Sequence[Record]:
    """The messages before the question, oldest first."""
    query = (
        select(col(Message.role), col(Message.content), col(Message.tool_calls))
        .where(
            col(Message.conversation_id) == question.conversation_id,
            col(Message.id).not_in([question.message_id, question.reply_id]),
        )
        .order_by(col(Message.created_at).desc(), col(Message.id).desc())
        .limit(RECALLED_MESSAGES)
    )
    async with question.ctx.read() as tx:
        return (await tx.execute(query)).all()[::-1]


def _exchanges(messages: Sequence[Record]) -> list[Exchange]:
    """A reply whose question is no longer among the messages is left out."""
    starts = [index for index, message in enumerate(messages) if message.role is MessageRole.USER]
    return [messages[start:end] for start, end in pairwise([*starts, len(messages)])]


def _told(exchange: Exchange, tools: Collection[str], numbers: Iterator[int]) -> list[ModelMessage]:
    question, *replies = exchange
    told: list[ModelMessage] = [ModelRequest([UserPromptPart(question.content)])]
    for reply in replies:
        told.extend(_reply(reply, tools, numbers))
    return told


def _reply(reply: Record, tools: Collection[str], numbers: Iterator[int]) -> Iterator[ModelMessage]:
    """A reply as it was made: what was said before each step's calls goes with them, their results follow.

    Calls of tools that this turn's agent does not have are left out, as those of tools that never were: not every
    provider takes the calls without the tool.
    """
    known = [call for call in reply.tool_calls if call["tool_name"] in tools]
    said = 0
    for _, step in groupby(known, key=lambda call: call.get("step")):
        together = list(step)
        before, said = reply.content[said : together[0]["text_offset"]], together[0]["text_offset"]
        parts = [_call(call, next(numbers)) for call in together]
        text = [TextPart(before)] if before else []
        yield ModelResponse([*text, *(call for call, _ in parts)])
        yield ModelRequest([result for _, result in parts])
    if rest := reply.content[said:]:
        yield ModelResponse([TextPart(rest)])


def _call(call: dict[str, Any], number: int) -> tuple[ToolCallPart, ToolReturnPart]:
    # An id that is its own and that any provider takes: another one's may be too long, or repeat from turn to turn.
    name, ident = call["tool_name"], f"call{number:05}"
    result = UNFINISHED if call["result_summary"] is None else _short(call["result"])
    return ToolCallPart(name, _short(call["arguments"]), ident), ToolReturnPart(name, result, ident)


def _short(value: Any) -> Any:
    return bounded(value, RECALLED_RESULT)


def _tokens(question: ReplyRequest, message: ModelMessage) -> int:
    """About what a message takes of the window, also where a provider counted its hidden reasoning with it."""
    return sum(question.ctx.models.count_tokens(question.model_id, text) for text in _texts(message))


def _texts(message: ModelMessage) -> Iterator[str]:
    for part in message.parts:
        match part:
            case UserPromptPart(content=str(text)) | TextPart(content=text):
                yield text
            case ToolCallPart():
                yield part.tool_name + part.args_as_json_str()
            case ToolReturnPart():
                yield part.model_response_str()
