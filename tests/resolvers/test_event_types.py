"""Event types and their audiences: EventType declares each once; the tests name the second places."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from sqlalchemy import text

from models import EventType
from models.base import Record
from models.event import Audience
from resolvers.core.context import Context
from resolvers.events import subscriptions
from resolvers.events.log import publish
from resolvers.webhooks.events import EVENTS_BY_TRIGGER
from schema import schema
from tests.resolvers.helpers import OwnWorkspace, write


async def test_the_database_accepts_every_event_type(ctx: Context) -> None:
    """The one other place that must list a new event type: a migration widens this constraint."""
    query = text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'eventtype_known'")
    async with ctx.read() as tx:
        definition = (await tx.execute(query)).scalar_one()
    assert {event_type for event_type in EventType if f"'{event_type.value}'" not in definition} == set()


def test_graphql_has_every_event_type() -> None:
    enum = schema.get_type_by_name("EventType")
    assert {value.value for value in enum.values} == set(EventType)  # type: ignore[union-attr]  # an enum's


def test_every_event_type_declares_its_audience() -> None:
    assert all(isinstance(event_type.audience, Audience) for event_type in EventType)


def test_webhooks_name_no_unknown_event_type() -> None:
    assert set(EVENTS_BY_TRIGGER) <= set(EventType)


async def received(ctx: Context, publisher: Context, *events: dict[str, Any]) -> list[Record]:
    """Which of the events reach a subscriber of the workspace. The last event published is one that everybody gets."""
    note = await write(publisher)
    stream = await subscriptions.subscribe_to_workspace(ctx)
    async with aclosing(stream), asyncio.timeout(30):
        async with publisher.transaction() as tx:
            for fields in events:
                await publish(tx, None, workspace_id=publisher.viewer.workspace_id, **fields)
            await publish(
                tx, None, EventType.NOTE_COMPLETED, workspace_id=publisher.viewer.workspace_id, note_id=note.id
            )
        found: list[Record] = []
        async for event in stream:
            if event.type is EventType.NOTE_COMPLETED:
                return found
            if event.type is not EventType.NOTE_INDEXED or event.note_id != note.id:
                found.append(event)
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("event_type", [one for one in EventType if one.audience is Audience.NOTE_READERS])
async def test_an_event_without_a_note_has_no_readers(own_workspace: OwnWorkspace, event_type: EventType) -> None:
    if event_type is EventType.NOTE_COMPLETED:
        event_type = EventType.NOTE_UPDATED
    member = await own_workspace.member()
    assert await received(member, own_workspace.ctx, {"event_type": event_type, "note_id": None}) == []
    assert await received(own_workspace.ctx, own_workspace.ctx, {"event_type": event_type, "note_id": None}) == []


@pytest.mark.parametrize("event_type", [one for one in EventType if one.audience is Audience.OWNER])
async def test_an_event_of_a_conversation_is_its_owners_alone(
    own_workspace: OwnWorkspace, event_type: EventType
) -> None:
    member, note = await own_workspace.member(), await write(own_workspace.ctx)
    event = {"event_type": event_type, "note_id": note.id, "owner_id": member.viewer.user_id}
    assert [one.type for one in await received(member, own_workspace.ctx, event)] == [event_type]
    assert await received(own_workspace.ctx, own_workspace.ctx, event) == []
    assert await received(own_workspace.ctx, own_workspace.ctx, {**event, "owner_id": None}) == []


async def test_an_event_of_a_webhook_is_for_admins_with_the_scope(own_workspace: OwnWorkspace) -> None:
    member, event = await own_workspace.member(), {"event_type": EventType.WEBHOOK_DISABLED, "note_id": None}
    assert [one.type for one in await received(own_workspace.ctx, own_workspace.ctx, event)] == [
        EventType.WEBHOOK_DISABLED
    ]
    assert await received(member, own_workspace.ctx, event) == []
