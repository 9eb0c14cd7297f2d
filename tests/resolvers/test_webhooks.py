"""What webhooks cost whoever has none, and what is told without anybody's reading it: audio, and secrets at rest."""

from typing import Any, cast

import orjson
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlalchemy import select
from sqlmodel import col

from caret.adapters.encryption import FernetVault
from models import Delivery, EventType, Webhook
from models.base import Record
from models.note import NoteStatus
from resolvers import notes
from resolvers.core.context import Context
from resolvers.core.drafts import parse_draft
from resolvers.core.errors import ErrorCode
from resolvers.events import log as event_log
from resolvers.webhooks import deliveries, endpoints
from resolvers.webhooks.drafts import WebhookDraft
from resolvers.webhooks.events import EVENT_NAMES, EVENTS_BY_TRIGGER, WEBHOOK_EVENTS, WebhookEvent, by_trigger
from resolvers.webhooks.payloads import build_note
from tests.resolvers.helpers import change, graphql, refused, spoken, statements, write

URL = "https://hooks.example"


async def endpoint(ctx: Context, *names: str) -> Record:
    row, _ = await endpoints.create(ctx, parse_draft(WebhookDraft, {"url": URL, "events": list(names)}))
    return row


async def bodies_of(ctx: Context, webhook: Record) -> list[dict[str, Any]]:
    """The bodies of an endpoint's deliveries, the oldest first, without the test on its creation."""
    query = select(col(Delivery.body)).where(col(Delivery.webhook_id) == webhook.id, col(Delivery.seq).is_not(None))
    async with ctx.read() as tx:
        return [orjson.loads(body) for body in (await tx.execute(query.order_by(col(Delivery.seq)))).scalars()]


async def test_a_workspace_without_webhooks_runs_no_extra_statements(me: Context) -> None:
    note = await write(me, transcripts=spoken("Hi"))
    with statements(me) as before:
        await change(me, note, summary="x")
    await endpoint(me, "note.deleted")
    with statements(me) as other:
        await change(me, note, summary="y")
    assert len(other) == len(before)
    first = await endpoint(me, "note.updated")
    # Who listens, the note, its tags, its transcript, and the deliveries of all endpoints together.
    counts = []
    for _ in range(2):
        with statements(me) as listened:
            await change(me, note, summary="z")
        counts.append(len(listened) - len(before))
        await endpoint(me, "note.updated")
    assert counts == [5, 5]
    assert len(await bodies_of(me, first)) == 2


async def test_an_event_that_is_rolled_back_is_not_delivered(me: Context) -> None:
    hook, note = await endpoint(me, "note.updated"), await write(me)
    async with me.transaction() as tx:
        subject = {"workspace_id": note.workspace_id, "note_id": note.id}
        await event_log.publish(tx, me.viewer, EventType.NOTE_UPDATED, **subject)
        await tx.connection.rollback()
    assert await bodies_of(me, hook) == []


@pytest.mark.parametrize("name", ["note.audio_uploaded", "meeting.audio_uploaded"])
async def test_uploaded_audio(me: Context, name: str) -> None:
    hook, note = await endpoint(me, name), await write(me)
    payload: dict[str, Any] = {"noteId": str(note.id), "audioUrl": "https://a.example/1"}
    async with me.transaction() as tx:
        subject = {"workspace_id": note.workspace_id, "note_id": note.id}
        await event_log.publish(tx, me.viewer, EventType.NOTE_AUDIO_UPLOADED, **subject, **payload, audience={})
    [body] = await bodies_of(me, hook)
    assert (body["type"], body["payload"]) == (name, {**payload, "audio_url": "https://a.example/1"})


async def test_a_note_created_as_completed_sends_both_events_and_indexing_sends_none(me: Context) -> None:
    hook = await endpoint(me, *EVENT_NAMES)
    note = await write(me, status=NoteStatus.COMPLETED)
    async with me.transaction() as tx:
        await event_log.publish(tx, None, EventType.NOTE_INDEXED, workspace_id=note.workspace_id, note_id=note.id)
    await notes.delete_note(me, note.id)
    assert [body["type"] for body in await bodies_of(me, hook)] == ["note.created", "note.completed", "note.deleted"]


@pytest.mark.parametrize("event", [event for event in WEBHOOK_EVENTS if event.trigger], ids=lambda event: event.name)
async def test_an_endpoint_receives_each_event_that_it_can_subscribe_to(me: Context, event: WebhookEvent) -> None:
    hook, note = await endpoint(me, event.name), await write(me)
    payload: dict[str, Any] = {"noteId": str(note.id), "audioUrl": "https://a.example/1", "audience": {}}
    async with me.transaction() as tx:
        ids = {"workspace_id": note.workspace_id, "note_id": note.id}
        assert event.trigger is not None
        await event_log.publish(tx, me.viewer, event.trigger, **ids, **payload)
    assert {body["type"] for body in await bodies_of(me, hook)} == {event.name}


async def test_one_declaration_makes_an_event_that_is_sent(me: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name and its payload are declared together, so no write can fail for want of a payload."""
    event = WebhookEvent("note.indexed", EventType.NOTE_INDEXED, build_note, "A note was indexed.")
    monkeypatch.setitem(cast(dict[Any, Any], EVENTS_BY_TRIGGER), EventType.NOTE_INDEXED, {event.name: event})
    note, (hook, _) = (
        await write(me),
        await endpoints.create(me, WebhookDraft.model_construct(url=URL, events=[event.name])),
    )
    async with me.transaction() as tx:
        await event_log.publish(tx, None, EventType.NOTE_INDEXED, workspace_id=note.workspace_id, note_id=note.id)
    [body] = await bodies_of(me, hook)
    assert (body["type"], body["payload"]["note"]["id"]) == ("note.indexed", str(note.id))


def test_an_event_cannot_be_declared_without_a_payload_or_twice() -> None:
    with pytest.raises(TypeError, match="build"):
        WebhookEvent("note.indexed", EventType.NOTE_INDEXED, description="A note was indexed.")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"two webhook events are named note\.created"):
        by_trigger([*WEBHOOK_EVENTS, WEBHOOK_EVENTS[0]])


async def test_a_page_of_webhooks_reads_no_bodies_that_nobody_wants(me: Context) -> None:
    hook = await endpoint(me, "note.created")
    query = "query($id: ID!) { webhook(id: $id) { deliveries { totalCount nodes { %s } } } }"
    for field, read in (("type", False), ("payload", True)):
        with statements(me) as ran:
            await graphql(me, query % field, id=str(hook.id))
        assert any("deliveries.body" in statement for statement in ran) == read


async def test_a_test_of_what_was_deleted_meanwhile(me: Context) -> None:
    hook = await endpoint(me, "note.created")
    await endpoints.delete(me, hook.id)
    with refused(ErrorCode.NOT_FOUND):
        await deliveries.send_test(me, hook.id)


def test_keys_rotate() -> None:
    old, new, other = (SecretStr(Fernet.generate_key().decode()) for _ in range(3))
    sealed = FernetVault([old]).encrypt("whsec_x")
    assert b"whsec" not in sealed
    both = FernetVault([new, old])
    assert both.decrypt(sealed) == "whsec_x"
    assert FernetVault([new]).decrypt(both.encrypt("y")) == "y"
    for vault in (FernetVault([other]), FernetVault([new])):
        with pytest.raises(ValueError, match="CARET_ENCRYPTION_KEYS"):
            vault.decrypt(sealed)


async def test_stored_secrets_are_encrypted(me: Context) -> None:
    row, secret = await endpoints.create(
        me, parse_draft(WebhookDraft, {"url": URL, "events": ["test"], "isActive": False})
    )
    async with me.read() as tx:
        [stored] = await tx.execute(select(col(Webhook.secret)).where(col(Webhook.id) == row.id))
    assert me.vault.decrypt(stored.secret) == secret
    assert not hasattr(row, "secret")
