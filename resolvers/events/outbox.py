"""The outbox: what must leave the server because of an event is written in the event's own transaction.

A destination (webhooks today) registers itself when its package is imported. `resolvers.events.log.publish` asks the
destinations whether they request the event, and lets those that do write their rows before the commit.
"""

from typing import Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, or_

from models import EventType
from models.base import Record
from resolvers.core.database import Transaction


class Destination(Protocol):
    """Something outside the server that events are sent to."""

    def is_requested(self, workspace_id: UUID, event_type: EventType) -> ColumnElement[bool]:
        """An SQL condition: whether anything in the workspace requests events of this type."""

    async def enqueue(self, tx: Transaction, event: Record) -> None:
        """Writes the rows from which the event is sent after the commit."""


_destinations: list[Destination] = []


def register(destination: Destination) -> None:
    """Adds a destination. It gets every event that is published from now on."""
    _destinations.append(destination)


def is_requested(workspace_id: UUID, event_type: EventType) -> ColumnElement[bool]:
    """An SQL condition: whether any destination requests the event. Part of the statement that inserts the event."""
    return or_(False, *(destination.is_requested(workspace_id, event_type) for destination in _destinations))


async def enqueue(tx: Transaction, event: Record) -> None:
    """Lets every destination write its rows for the event."""
    for destination in _destinations:
        await destination.enqueue(tx, event)
