"""Webhooks as a destination of the outbox: writes a delivery for each endpoint that subscribes to an event.

`resolvers.events.log.publish` asks `is_requested` within its own statement, so a workspace without webhooks pays for
nothing more, and calls `enqueue` where an endpoint is subscribed.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, ColumnElement, String, exists, false, insert, literal, select
from sqlmodel import col

from models import Delivery, EventType, Webhook
from models.base import Record
from resolvers.core.database import Transaction
from resolvers.notes import serialization
from resolvers.webhooks.events import EVENTS_BY_TRIGGER, WebhookEvent
from resolvers.webhooks.payloads import TestEvent


def is_requested(workspace_id: UUID, event_type: EventType) -> ColumnElement[bool]:
    """An SQL condition: whether an active endpoint of the workspace subscribes to events of this type."""
    events = EVENTS_BY_TRIGGER.get(event_type)
    return false() if events is None else exists().where(*_subscribed(workspace_id, events))


def _subscribed(workspace_id: UUID, events: Mapping[str, WebhookEvent]) -> tuple[Any, ...]:
    names = literal(list(events), ARRAY(String()))
    return col(Webhook.workspace_id) == workspace_id, col(Webhook.is_active), col(Webhook.events).op("&&")(names)


async def enqueue(tx: Transaction, event: Record) -> None:
    """Writes a delivery of an event of the log for each endpoint that subscribes to it, due at once."""
    events = EVENTS_BY_TRIGGER.get(event.type)
    if events is None:
        return
    # The lock lasts until the commit: an endpoint deleted meanwhile would fail the foreign key, and so the change.
    subscribed = select(col(Webhook.id), col(Webhook.events)).where(*_subscribed(event.workspace_id, events))
    hooks = (await tx.execute(subscribed.with_for_update(read=True, key_share=True))).all()
    names = {hook.id: next(name for name in hook.events if name in events) for hook in hooks}
    payloads = {name: await events[name].build(tx, event) for name in dict.fromkeys(names.values())}
    rows = [delivery_row(event, hook_id, name, payloads[name]) for hook_id, name in names.items()]
    if rows:
        await tx.execute(insert(Delivery), rows)


def delivery_row(event: Record | TestEvent, webhook_id: UUID, name: str, payload: bytes) -> dict[str, Any]:
    """The columns of a delivery that is due at once. Each attempt posts exactly the bytes of `body`."""
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
