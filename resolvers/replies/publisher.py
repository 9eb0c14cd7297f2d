"""Telling a reply while it is made: to its followers in this process, and on the bus to those in others."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

from models.base import Record, mended
from models.conversation import MAX_REPLY
from resolvers.core.ports.agents import ReplyFailed, ToolCall, Usage
from resolvers.core.ports.bus import Bus
from resolvers.replies.buffer import ReplyLog
from resolvers.replies.events import ReplyEvent

TOO_LONG = "The answer became too long."


class Telling:
    """A Teller. What was told so far is `said` and `tools`; `is_empty` until the first of it."""

    def __init__(self, bus: Bus, message_id: UUID, rest: Callable[[], float]) -> None:
        self.id = message_id
        self.log = ReplyLog()
        self.length = 0
        # What all attempts to answer have used, and the model of the last.
        self.used_by_all, self.model_id = Usage(), ""
        self._bus = bus
        self._rest = rest
        self._text: list[str] = []
        self._tools: dict[str, dict[str, Any]] = {}
        # Which life of the bus has heard all that was told.
        self._heard_by = bus.reconnects

    @property
    def said(self) -> str:
        return "".join(self._text)

    @property
    def tools(self) -> list[dict[str, Any]]:
        return list(self._tools.values())

    @property
    def is_empty(self) -> bool:
        return not self.log.events

    async def write_text(self, *pieces: str) -> None:
        rest = self._rest()
        for piece in ("".join(pieces),) if rest else pieces:
            await self._delta(mended(piece))
        if rest:
            # Whoever reads what the model says waits too: what comes meanwhile comes together.
            await asyncio.sleep(rest)

    async def _delta(self, piece: str) -> None:
        if self.length + len(piece) > MAX_REPLY:
            raise ReplyFailed(TOO_LONG)
        if piece:
            self._text.append(piece)
            self.length += len(piece)
            await self.event("delta", content=piece)

    async def write_tool_call(self, call: ToolCall) -> None:
        if call.finished:
            # A new value: the event of the beginning may still be on its way out.
            row = {**self._tools[call.id], "result": call.result, "result_summary": call.summary}
        else:
            row = {
                "id": call.id,
                "tool_name": call.name,
                "text_offset": self.length,
                # For the model on later turns; the edges do not show it.
                "step": call.step,
                "arguments": call.arguments,
                "result_summary": None,
                "result": None,
            }
        self._tools[call.id] = row
        await self.event("tool_call", tool_call=row)

    def record_usage(self, model_id: str, usage: Usage) -> None:
        self.model_id, before = model_id, self.used_by_all
        self.used_by_all = Usage(
            before.input_tokens + usage.input_tokens,
            before.output_tokens + usage.output_tokens,
            before.requests + usage.requests,
        )

    async def write_suggestion(self, suggestion: Record) -> None:
        await self.event("document_change", document_change=changed(suggestion))

    async def event(self, kind: str, **told: Any) -> None:
        event = ReplyEvent(len(self.log.events) + 1, kind, self.id, **told)
        self.log.add(event)
        if self._heard_by != self._bus.reconnects:
            await self.repeat()
        else:
            await self._bus.publish_reply(self.id, event.encode(), last=event.terminal)

    async def repeat(self) -> None:
        """Tells the bus everything again, once it has come back without it; followers know by the numbers what is new
        to them."""
        lives = self._bus.reconnects
        if lives == self._heard_by:
            return
        self._heard_by = lives
        for event in list(self.log.events):
            await self._bus.publish_reply(self.id, event.encode(), last=event.terminal)


def changed(suggestion: Record) -> dict[str, Any]:
    """A suggestion as the event tells it; the edges present it."""
    return {
        "operation": suggestion.operation,
        "proposed_text": suggestion.suggested_text,
        "original_text": suggestion.original_text,
        "position_start": suggestion.position_start,
        "position_end": suggestion.position_end,
        "suggestion_id": str(suggestion.id),
    }
