"""Endpoints and deliveries as rows, a clock that the test moves, and a worker that does what is due."""

import asyncio
import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete, func, insert, select, update
from sqlmodel import col

from models import Delivery, Plan, Role, Webhook
from models.base import Record, new_id
from models.webhook import DeliveryStatus
from resolvers.auth import credentials
from resolvers.core.context import Context
from resolvers.core.viewer import Viewer
from resolvers.webhooks.sender import Sender

TIMEOUT_SECONDS = 5.0
"""Seconds that these tests wait for an answer, instead of ten."""


@dataclass
class Clock:
    """The time as webhooks see it: it passes when the test says so."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(seconds=5))

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **passed: float) -> None:
        self.now += timedelta(**passed)


@dataclass(frozen=True)
class Hook:
    """An endpoint, and its secret in plain."""

    id: UUID
    workspace_id: UUID
    secret: str


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


async def workspace(ctx: Context, plan: Plan = Plan.ENTERPRISE) -> UUID:
    async with ctx.transaction() as tx:
        return await credentials.create_workspace(tx, "Webhooks", plan)


async def hook(ctx: Context, url: str, workspace_id: UUID | None = None, plan: Plan = Plan.ENTERPRISE) -> Hook:
    owner_id = workspace_id or await workspace(ctx, plan)
    ident, secret = new_id(), new_secret()
    values = {"id": ident, "workspace_id": owner_id, "url": url, "events": ["note.updated"]}
    async with ctx.transaction() as tx:
        await tx.execute(insert(Webhook).values(**values, secret=ctx.vault.encrypt(secret)))
    return Hook(ident, owner_id, secret)


async def admin(ctx: Context, workspace_id: UUID) -> Context:
    """The context of somebody who manages the workspace's webhooks."""
    user_id = new_id()
    async with ctx.transaction() as tx:
        await credentials.ensure_user(tx, user_id, f"{user_id}@people.example", "Admin")
        await credentials.add_member(tx, workspace_id, user_id, Role.ADMIN)
    return ctx.for_viewer(Viewer(user_id, workspace_id, Role.ADMIN))


async def deliver(ctx: Context, to: Hook, count: int = 1, note_id: UUID | None = None, **columns: Any) -> list[UUID]:
    """Deliveries that are due now, in the order of a log: all of one note, or of one each."""
    ids = [new_id() for _ in range(count)]
    rows = []
    for index, ident in enumerate(ids):
        event = {"type": "note.updated", "eventId": str(ident), "payload": {"place": index}}
        row = {
            "id": ident,
            "workspace_id": to.workspace_id,
            "webhook_id": to.id,
            "event_id": ident,
            "note_id": note_id or new_id(),
            "seq": index + 1,
            "type": "note.updated",
            "body": orjson.dumps(event),
            "due_at": ctx.clock(),
        }
        rows.append({**row, **columns})
    async with ctx.transaction() as tx:
        await tx.execute(insert(Delivery), rows)
    return ids


async def work(ctx: Context) -> None:
    """What a worker does at this moment, to its end."""
    more = True
    while more:
        async with asyncio.TaskGroup() as posts:
            sender = Sender(ctx, posts, lambda: None)
            more = bool(await sender.send())


async def work_until(ctx: Context, clock: Clock, end: datetime) -> None:
    """What a worker does from now on, at the moments at which something is due."""
    pending = (col(Delivery.status) == DeliveryStatus.PENDING, col(Delivery.due_at).is_not(None))
    while True:
        await work(ctx)
        async with ctx.read() as tx:
            due = (await tx.execute(select(func.min(col(Delivery.due_at))).where(*pending))).scalar_one()
        if due is None or due > end:
            clock.now = end
            return
        clock.now = max(clock.now, due)


async def row(ctx: Context, ident: UUID) -> Record:
    async with ctx.read() as tx:
        return (await tx.execute(select(Delivery.__table__).where(col(Delivery.id) == ident))).one()  # type: ignore[attr-defined]  # set on table classes


async def rows(ctx: Context, to: Hook) -> Sequence[Record]:
    query = select(Delivery.__table__).where(col(Delivery.webhook_id) == to.id).order_by(col(Delivery.seq))  # type: ignore[attr-defined]  # set on table classes
    async with ctx.read() as tx:
        return (await tx.execute(query)).all()


async def endpoint(ctx: Context, to: Hook) -> Record:
    async with ctx.read() as tx:
        return (await tx.execute(select(Webhook.__table__).where(col(Webhook.id) == to.id))).one()  # type: ignore[attr-defined]  # set on table classes


async def change(ctx: Context, to: Hook, **values: Any) -> None:
    written = {"updated_at": ctx.clock(), **values}
    async with ctx.transaction() as tx:
        await tx.execute(update(Webhook).where(col(Webhook.id) == to.id).values(**written))


async def drop(ctx: Context, to: Hook) -> None:
    async with ctx.transaction() as tx:
        await tx.execute(delete(Webhook).where(col(Webhook.id) == to.id))
