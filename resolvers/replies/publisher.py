"""Publishing a reply while it is written: to its subscribers in this process, and on the bus to those in others."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

from models.base import Record, strip_unstorable
from models.conversation import MAX_REPLY
from resolvers.core.ports.agents import AgentFailed, ToolCall, Usage
from resolvers.core.ports.bus import Bus
from resolvers.replies.buffer import ReplyBuffer
from resolvers.replies.events import ReplyEvent

TOO_LONG = "The answer became too long."


class ReplyPublisher:
    """The ReplySink of one reply: publishes what an agent writes, and collects it to be stored.

    `pause_seconds` returns how long to pause after a piece of text (see `resolvers.replies.throttle`).
    """

    def __init__(self, bus: Bus, message_id: UUID, pause_seconds: Callable[[], float]) -> None:
        self.message_id = message_id
        self.buffer = ReplyBuffer()
        self.length = 0
        """Characters of the text so far."""
        self.total_usage = Usage()
        """The usage of all attempts to answer."""
        self.model_id = ""
        """The model of the last attempt."""
        self._bus = bus
        self._pause_seconds = pause_seconds
        self._pieces: list[str] = []
        self._tool_calls: dict[str, dict[str, Any]] = {}
        # After which reconnect of the bus all events were published.
        self._published_on = bus.reconnects

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        return list(self._tool_calls.values())

    @property
    def is_empty(self) -> bool:
        return not self.buffer.events

    async def write_text(self, *pieces: str) -> None:
        pause = self._pause_seconds()
        for piece in ("".join(pieces),) if pause else pieces:
            await self._write_piece(strip_unstorable(piece))
        if pause:
            # The reader of the model's answer waits too, so that the pieces of the pause arrive together.
            await asyncio.sleep(pause)

    async def _write_piece(self, piece: str) -> None:
        if self.length + len(piece) > MAX_REPLY:
            raise AgentFailed(TOO_LONG)
        if piece:
            self._pieces.append(piece)
            self.length += len(piece)
            await self.publish("delta", content=piece)

    async def write_tool_call(self, call: ToolCall) -> None:
        if call.finished:
            # A new dict, because the event of the call's beginning may not be encoded yet.
            values = {**self._tool_calls[call.id], "result": call.result, "result_summary": call.summary}
        else:
            values = {
                "id": call.id,
                "tool_name": call.name,
                "text_offset": self.length,
                # For the history of later turns; the edges do not show it.
                "step": call.step,
                "arguments": call.arguments,
                "result_summary": None,
                "result": None,
            }
        self._tool_calls[call.id] = values
        await self.publish("tool_call", tool_call=values)

    def record_usage(self, model_id: str, usage: Usage) -> None:
        self.model_id, total = model_id, self.total_usage
        self.total_usage = Usage(
            total.input_tokens + usage.input_tokens,
            total.output_tokens + usage.output_tokens,
            total.requests + usage.requests,
        )

    async def write_suggestion(self, suggestion: Record) -> None:
        await self.publish("document_change", document_change=document_change(suggestion))

    async def publish(self, kind: str, **fields: Any) -> None:
        """Publishes the next event of the reply, `fields` being those of its ReplyEvent."""
        event = ReplyEvent(len(self.buffer.events) + 1, kind, self.message_id, **fields)
        self.buffer.append(event)
        if self._published_on != self._bus.reconnects:
            await self.republish_after_reconnect()
        else:
            await self._bus.publish_reply(self.message_id, event.encode(), last=event.is_terminal)

    async def republish_after_reconnect(self) -> None:
        """Publishes all events again if the bus has reconnected, because a restarted bus has lost them.

        Subscribers skip the numbers that they have seen.
        """
        reconnects = self._bus.reconnects
        if reconnects == self._published_on:
            return
        self._published_on = reconnects
        for event in list(self.buffer.events):
            await self._bus.publish_reply(self.message_id, event.encode(), last=event.is_terminal)


def document_change(suggestion: Record) -> dict[str, Any]:
    """Returns the `document_change` of the event of a suggestion; each edge renders it in its own form."""
    return {
        "operation": suggestion.operation,
        "proposed_text": suggestion.suggested_text,
        "original_text": suggestion.original_text,
        "position_start": suggestion.position_start,
        "position_end": suggestion.position_end,
        "suggestion_id": str(suggestion.id),
    }
