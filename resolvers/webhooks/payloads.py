"""What webhooks are told: each event as a body of bytes for each endpoint, rendered in the event's own transaction.

This is the webhooks' destination of `resolvers.events.outbox`: `publish` asks `is_wanted` within its own statement, so
a workspace without webhooks pays for nothing more, and calls `enqueue` where an endpoint is subscribed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic.alias_generators import to_snake
from sqlalchemy import ARRAY, ColumnElement, String, exists, false, insert, literal, select
from sqlmodel import col

from models import Delivery, EventType, Webhook
from models.base import Record
from models.webhook import WEBHOOK_ALIASES, WEBHOOK_EVENTS
from resolvers.core.context import Transaction
from resolvers.notes import serialization

NAMES: dict[str, list[str]] = {
    name: [name, *(alias for alias, meant in WEBHOOK_ALIASES.items() if meant == name)] for name in WEBHOOK_EVENTS
}
"""Of each event the names that an endpoint may have subscribed to it by."""


@dataclass(frozen=True, slots=True)
class Test:
    """What a test tells of: an event of no log."""

    id: UUID
    workspace_id: UUID
    created_at: datetime
    note_id: None = None
    seq: None = None


def is_wanted(workspace_id: UUID, event_type: EventType) -> ColumnElement[bool]:
    """The condition that holds where the workspace has an endpoint that is told of such events."""
    return exists().where(*_wanting(workspace_id, event_type)) if event_type in NAMES else false()


def _wanting(workspace_id: UUID, kind: str) -> tuple[Any, ...]:
    place = col(Webhook.workspace_id) == workspace_id
    return place, col(Webhook.is_active), col(Webhook.events).op("&&")(literal(NAMES[kind], ARRAY(String())))


async def enqueue(tx: Transaction, event: Record) -> None:
    """Writes a delivery of an event of the log for each endpoint that wants it, due at once."""
    # Held until the commit: an endpoint that is deleted meanwhile would take the whole change down with it.
    listening = select(col(Webhook.id), col(Webhook.events)).where(*_wanting(event.workspace_id, event.type))
    hooks = (await tx.execute(listening.with_for_update(read=True, key_share=True))).all()
    names = {hook.id: next(name for name in hook.events if name in NAMES[event.type]) for hook in hooks}
    told = {name: await PAYLOADS[name](tx, event) for name in dict.fromkeys(names.values())}
    rows = [delivery(event, hook_id, name, told[name]) for hook_id, name in names.items()]
    if rows:
        await tx.execute(insert(Delivery), rows)


def delivery(event: Record | Test, webhook_id: UUID, name: str, payload: bytes) -> dict[str, Any]:
    """The columns of a delivery that is due at once. Each attempt posts the very bytes of its body."""
    envelope = {
        "type": name,
        "eventId": str(event.id),
        "webhookId": str(webhook_id),
        "workspaceId": str(event.workspace_id),
        "timestamp": serialization.millis(event.created_at),
        "payload": orjson.Fragment(payload),
    }
    return {
        "workspace_id": event.workspace_id,
        "webhook_id": webhook_id,
        "event_id": event.id,
        "note_id": event.note_id,
        "seq": event.seq,
        "type": name,
        "body": orjson.dumps(envelope),
        "due_at": event.created_at,
    }


async def _whole(tx: Transaction, event: Record) -> bytes:
    return _json({"note": await _note(tx, event)})


async def _snaked(tx: Transaction, event: Record) -> bytes:
    return _json({"meeting": snaked(await _note(tx, event))})


async def _gone(_tx: Transaction, event: Record) -> bytes:
    return _json({"note": {"id": event.note_id}})


async def _audio(_tx: Transaction, event: Record) -> bytes:
    told = event.payload
    return _json({"noteId": told["noteId"], "audioUrl": told["audioUrl"], "audio_url": told["audioUrl"]})


PAYLOADS: dict[str, Callable[[Transaction, Record], Awaitable[bytes]]] = {
    "note.created": _whole,
    "note.updated": _whole,
    "note.completed": _whole,
    "note.deleted": _gone,
    "note.audio_uploaded": _audio,
    "meeting.created": _snaked,
    "meeting.audio_uploaded": _audio,
}


async def _note(tx: Transaction, event: Record) -> dict[str, Any]:
    note = await serialization.read(tx, event.note_id)
    # Whoever publishes holds the note: it can be gone only from what is told of it afterwards.
    return {"id": event.note_id} if note is None else note


def snaked(value: Any) -> Any:
    """The same JSON with the names of its fields in snake_case."""
    if isinstance(value, dict):
        return {to_snake(name): snaked(part) for name, part in value.items()}
    return [snaked(part) for part in value] if isinstance(value, list) else value


def greeting(webhook: Record) -> bytes:
    """The payload of a test."""
    return _json({"message": f"A test of the webhook {webhook.label or webhook.id}."})


def _json(value: Any) -> bytes:
    # asyncpg has a UUID class of its own, which orjson does not know.
    return orjson.dumps(value, default=str)
