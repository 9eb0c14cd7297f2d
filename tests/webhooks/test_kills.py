"""Workers that are killed while they post: nothing is lost, and what arrives twice says so."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, text
from sqlmodel import col
from standardwebhooks.webhooks import Webhook as Verifier

from caret.settings import Settings
from caret.wiring import open_context
from models import Delivery
from models.webhook import DeliveryStatus
from resolvers.core.context import Context
from tests.conftest import Services, make_tenant
from tests.faults.helpers import parts, until
from tests.support.databases import migrated_database
from tests.support.receiver import Receiver, answer, reset
from tests.support.servers import ENCRYPTION_KEY, SECRET, ServerProcess, running_server, server_process
from tests.webhooks.helpers import deliver, hook

pytestmark = pytest.mark.timeout(300)

TIMEOUT_SECONDS = 90
ENDPOINTS = 4
EACH = 20
LOCAL = {"webhooks_allow_local": "1", "encryption_keys": ENCRYPTION_KEY}


@pytest.fixture
async def alone(services: Services, tmp_path: Path) -> AsyncIterator[Context]:
    """On a database whose work no other server's worker takes."""
    async with migrated_database(services.database_url) as url:
        settings = Settings(
            database_url=url,
            nats_url=services.nats_url,
            jwt_secret=SecretStr(SECRET),
            encryption_keys=ENCRYPTION_KEY,
            data_dir=tmp_path,
        )
        async with open_context(settings) as context:
            yield context


async def kill_worker(served: ServerProcess, ctx: Context) -> None:
    [worker] = parts(served, "worker")
    worker.kill()
    await until(lambda: [child.pid for child in parts(served, "worker")] not in ([], [worker.pid]), TIMEOUT_SECONDS)
    # As if the minute of its leases were over.
    async with ctx.transaction() as tx:
        await tx.execute(text("UPDATE deliveries SET due_at = now() WHERE status = 'pending'"))


async def waits_are_over(ctx: Context) -> None:
    """As if the longer waits after failures were: a lost attempt counts as one."""
    async with ctx.transaction() as tx:
        await tx.execute(text("UPDATE deliveries SET due_at = now() WHERE due_at > now() + interval '61 s'"))


async def delivered(ctx: Context) -> int:
    query = select(func.count()).where(col(Delivery.status) == DeliveryStatus.DELIVERED)
    async with ctx.read() as tx:
        return int((await tx.execute(query)).scalar_one())


async def test_killed_again_and_again(services: Services, alone: Context, receiver: Receiver) -> None:
    places = [await hook(alone, receiver.url) for _ in range(ENDPOINTS)]
    ids = {ident for to in places for ident in await deliver(alone, to, EACH)}
    url = alone.database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    settings = {**services.settings, **LOCAL, "database_url": url}
    with server_process(**settings) as served:
        in_flight = 0
        for _ in range(3):
            # Each time it is killed with posts that were received and not answered.
            receiver.gate.clear()
            await until(lambda: receiver.open >= 4, TIMEOUT_SECONDS)
            in_flight += receiver.open
            await kill_worker(served, alone)
            receiver.will(answer(), reset, answer(500), answer())
            receiver.gate.set()
            await asyncio.sleep(0.2)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while await delivered(alone) < len(ids):
                await waits_are_over(alone)
                await asyncio.sleep(0.2)
    posts = Counter(post.headers["webhook-id"] for post in receiver.received)
    assert set(posts) == {str(ident) for ident in ids}
    bodies = {(post.headers["webhook-id"], post.body) for post in receiver.received}
    assert len(bodies) == len(ids)
    assert in_flight >= 12
    # What was in flight, and what failed, is posted again; nothing else is.
    async with alone.read() as tx:
        query = select(col(Delivery.id), col(Delivery.attempts))
        attempts = {row.id: row.attempts for row in await tx.execute(query)}
    assert all(posts[str(ident)] <= attempts[ident] for ident in ids)


async def test_from_a_note_to_the_receiver(services: Services, alone: Context, receiver: Receiver) -> None:
    """All of it together: an endpoint that was made by a caller, what a worker posts there, and its secret."""
    url = alone.database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with running_server(**{**services.settings, **LOCAL, "database_url": url}) as served:
        tenant = await make_tenant(served, alone.database.engine)
        key = await tenant.key()
        draft = {"url": receiver.url, "events": ["note.created", "note.deleted"]}
        webhook = (await key.http.post("/v1/webhooks", json=draft)).json()["webhook"]
        note = (await key.http.post("/v1/notes", json={"title": "T"})).json()["note"]
        await key.http.delete(f"/v1/notes/{note['id']}")
        await until(lambda: len(receiver.received) >= 3, TIMEOUT_SECONDS)
        await until(lambda: not receiver.open, TIMEOUT_SECONDS)
        await key.close()
    bodies = [Verifier(webhook["secret"]).verify(post.body, post.headers) for post in receiver.received]
    payloads = {body["type"]: body["payload"] for body in bodies}
    assert sorted(payloads) == ["note.created", "note.deleted", "test"]
    assert payloads["note.created"] == {"note": note}
    assert payloads["note.deleted"] == {"note": {"id": note["id"]}}
    assert {body["webhookId"] for body in bodies} == {webhook["id"]}
