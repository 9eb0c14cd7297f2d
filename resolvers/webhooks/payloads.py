"""Builders of webhook payloads: each renders an event as JSON bytes, in the transaction that publishes the event.

`resolvers.webhooks.events` says which event has which payload; `rest_compat.openapi.webhooks` has the schema of
each.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic.alias_generators import to_snake

from models.base import Record
from resolvers.core.database import Transaction
from resolvers.notes import serialization


@dataclass(frozen=True, slots=True)
class TestEvent:
    """An event that is sent on request. It is in no log, so it has no `seq`."""

    __test__ = False  # pytest takes classes of this name for tests

    id: UUID
    workspace_id: UUID
    created_at: datetime
    payload: dict[str, Any]
    note_id: None = None
    seq: None = None


PayloadBuilder = Callable[[Transaction, Record | TestEvent], Awaitable[bytes]]


async def build_note(tx: Transaction, event: Record | TestEvent) -> bytes:
    """`{"note": …}`, the note as `/v1/notes` returns it."""
    return _json({"note": await _read_note(tx, event)})


async def build_meeting(tx: Transaction, event: Record | TestEvent) -> bytes:
    """`{"meeting": …}`, the note with its field names in snake_case."""
    return _json({"meeting": snake_cased(await _read_note(tx, event))})


async def build_deleted_note(_tx: Transaction, event: Record | TestEvent) -> bytes:
    """`{"note": {"id"}}`."""
    return _json({"note": {"id": event.note_id}})


async def build_audio(_tx: Transaction, event: Record | TestEvent) -> bytes:
    """`{"noteId", "audioUrl", "audio_url"}`, the address under its present and its older name."""
    url = event.payload["audioUrl"]
    return _json({"noteId": event.payload["noteId"], "audioUrl": url, "audio_url": url})


async def build_test(_tx: Transaction, event: Record | TestEvent) -> bytes:
    """`{"message"}`."""
    return _json({"message": event.payload["message"]})


async def _read_note(tx: Transaction, event: Record | TestEvent) -> dict[str, Any]:
    note = await serialization.read(tx, event.note_id) if event.note_id is not None else None
    # The publisher holds the note's row, so the note is missing only from events that follow its deletion.
    return {"id": event.note_id} if note is None else note


def snake_cased(value: Any) -> Any:
    """The same JSON with the names of its fields in snake_case."""
    if isinstance(value, dict):
        return {to_snake(name): snake_cased(part) for name, part in value.items()}
    return [snake_cased(part) for part in value] if isinstance(value, list) else value


def _json(value: Any) -> bytes:
    # asyncpg has a UUID class of its own, which orjson does not know.
    return orjson.dumps(value, default=str)
