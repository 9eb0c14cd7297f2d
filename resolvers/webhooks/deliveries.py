"""The log of what was posted to an endpoint: reading it, adding a test, sending something again."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, insert, select, update
from sqlmodel import col

from models import Delivery, DeliveryStatus, Webhook
from models.base import Record, new_id
from resolvers.auth import access, roles
from resolvers.core.context import Context, Transaction
from resolvers.core.errors import ErrorCode, Problem, not_found
from resolvers.core.nested_pages import Pages, checked_before, read_pages
from resolvers.core.pagination import Order, PageArguments, check_limit_and_offset
from resolvers.webhooks.events import TEST_EVENT
from resolvers.webhooks.outbox import delivery_row
from resolvers.webhooks.payloads import TestEvent, build_test

BY_TIME = Order("delivery", col(Delivery.created_at), col(Delivery.id), descending=True)
COLUMNS = tuple(column for column in Delivery.__table__.columns if column.key != "body")  # type: ignore[attr-defined]  # set on table classes
"""All but what is posted, which may be long."""


def columns(wanted: Collection[str] | None) -> tuple[Any, ...]:
    """The columns to read; the body only for whoever wants the `payload`."""
    return (*COLUMNS, col(Delivery.body)) if wanted is not None and "payload" in wanted else COLUMNS


def _of(ctx: Context, webhook_id: Any, wanted: Collection[str] | None) -> Select[Any]:
    governed = roles.is_admin(ctx.viewer, col(Delivery.workspace_id))
    return select(*columns(wanted)).where(col(Delivery.webhook_id) == webhook_id, governed)


async def pages(
    ctx: Context, webhook_ids: Sequence[UUID], window: PageArguments, fields: Collection[str] | None = None
) -> Pages:
    """A page of the deliveries of each of the endpoints, which were read before, newest first."""
    access.require_scope(ctx.viewer, "webhooks")
    parents = checked_before(webhook_ids, "Webhook")
    return await read_pages(ctx, parents, lambda webhook_id: _of(ctx, webhook_id, fields), BY_TIME, window)


async def window(ctx: Context, webhook_id: UUID, limit: int, offset: int) -> tuple[Sequence[Record], bool]:
    """A page by offset, newest first, and whether it is the last."""
    access.require_scope(ctx.viewer, "webhooks")
    check_limit_and_offset(limit, offset)
    query = BY_TIME.apply(_of(ctx, webhook_id, None), PageArguments(first=limit)).offset(offset)
    async with ctx.read() as tx:
        await roles.require_row(tx, ctx.viewer, Webhook, webhook_id, admin=True)
        found = (await tx.execute(query)).all()
    return found[:limit], len(found) <= limit


async def find(ctx: Context, ids: Iterable[UUID], wanted: Collection[str] | None = None) -> Mapping[UUID, Record]:
    """Those of the deliveries whose workspace the viewer governs, by id."""
    mine = and_(col(Delivery.id).in_(list(ids)), roles.is_admin(ctx.viewer, col(Delivery.workspace_id)))
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(select(*columns(wanted)).where(mine))}


async def send_test(ctx: Context, webhook_id: UUID) -> Record:
    """The delivery of a test, which is sent at once. Raises CONFLICT where the endpoint is switched off."""
    access.require_scope(ctx.viewer, "webhooks", write=True)
    async with ctx.transaction() as tx:
        webhook = await roles.require_row(tx, ctx.viewer, Webhook, webhook_id, admin=True)
        await _hold(tx, webhook_id)
        return await add_test(ctx, tx, webhook)


async def add_test(ctx: Context, tx: Transaction, webhook: Record) -> Record:
    message = f"A test of the webhook {webhook.label or webhook.id}."
    event = TestEvent(new_id(), webhook.workspace_id, ctx.clock(), {"message": message})
    values = delivery_row(event, webhook.id, TEST_EVENT, await build_test(tx, event))
    _wake(tx, webhook.workspace_id)
    return (await tx.execute(insert(Delivery).values(values).returning(*COLUMNS, col(Delivery.body)))).one()


async def redeliver(ctx: Context, delivery_id: UUID, webhook_id: UUID | None = None) -> Record:
    """Sends the same event again, whatever became of it, as if it had happened now: with all its attempts.

    `webhook_id` names the endpoint that it must be of. Raises CONFLICT where that is switched off.
    """
    access.require_scope(ctx.viewer, "webhooks", write=True)
    async with ctx.transaction() as tx:
        row = await roles.require_row(tx, ctx.viewer, Delivery, delivery_id, admin=True)
        if webhook_id not in (None, row.webhook_id):
            raise not_found("Delivery", delivery_id)
        await _hold(tx, row.webhook_id)
        anew = {"status": DeliveryStatus.PENDING, "attempts": 0, "due_at": ctx.clock(), "delivered_at": None}
        written = update(Delivery).where(col(Delivery.id) == delivery_id).values(anew)
        again = (await tx.execute(written.returning(*COLUMNS, col(Delivery.body)))).one_or_none()
        if again is None:  # forgotten since the gate let it pass
            raise not_found("Delivery", delivery_id)
        _wake(tx, row.workspace_id)
    return again


async def _hold(tx: Transaction, webhook_id: UUID) -> None:
    """Keeps the endpoint from being deleted until the commit. Raises CONFLICT where it is switched off."""
    query = select(col(Webhook.is_active)).where(col(Webhook.id) == webhook_id)
    active = (await tx.execute(query.with_for_update(read=True, key_share=True))).scalar_one_or_none()
    if active is None:
        raise not_found("Webhook", webhook_id)
    if not active:
        raise Problem(ErrorCode.CONFLICT, "This webhook is switched off: nothing is sent to it.")


def _wake(tx: Transaction, workspace_id: UUID) -> None:
    """Wakes the workers after the commit. To followers it says nothing: the event log is where it was."""
    tx.wakeups.setdefault(workspace_id, 0)
