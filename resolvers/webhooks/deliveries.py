"""The delivery log of an endpoint: reading it, adding a test, and sending an event again."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, insert, select, update
from sqlmodel import col

from models import Delivery, DeliveryStatus, Webhook
from models.base import Record, new_id
from resolvers.auth import access, roles
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, not_found
from resolvers.core.nested_pages import Pages, checked_before, read_pages
from resolvers.core.pagination import Order, PageArguments, check_limit_and_offset
from resolvers.webhooks.events import TEST_EVENT
from resolvers.webhooks.outbox import delivery_row
from resolvers.webhooks.payloads import TestEvent, build_test

BY_TIME = Order("delivery", col(Delivery.created_at), col(Delivery.id), descending=True)
COLUMNS = tuple(column for column in Delivery.__table__.columns if column.key != "body")  # type: ignore[attr-defined]  # set on table classes
"""All columns but the body, which may be long."""


def columns(fields: Collection[str] | None) -> tuple[Any, ...]:
    """The columns to read for the requested fields; the body is read only for `payload`."""
    return (*COLUMNS, col(Delivery.body)) if fields is not None and "payload" in fields else COLUMNS


def _deliveries_of(ctx: Context, webhook_id: Any, fields: Collection[str] | None) -> Select[Any]:
    governed = roles.is_admin(ctx.viewer, col(Delivery.workspace_id))
    return select(*columns(fields)).where(col(Delivery.webhook_id) == webhook_id, governed)


async def pages(
    ctx: Context, webhook_ids: Sequence[UUID], window: PageArguments, fields: Collection[str] | None = None
) -> Pages:
    """A page of deliveries for each of the endpoints, newest first. The caller has read the endpoints before."""
    access.require_scope(ctx.viewer, "webhooks")
    parents = checked_before(webhook_ids, "Webhook")
    return await read_pages(ctx, parents, lambda webhook_id: _deliveries_of(ctx, webhook_id, fields), BY_TIME, window)


async def page_by_offset(ctx: Context, webhook_id: UUID, limit: int, offset: int) -> tuple[Sequence[Record], bool]:
    """A page of an endpoint's deliveries by offset, newest first, and whether it is the last page."""
    access.require_scope(ctx.viewer, "webhooks")
    check_limit_and_offset(limit, offset)
    query = BY_TIME.apply(_deliveries_of(ctx, webhook_id, None), PageArguments(first=limit)).offset(offset)
    async with ctx.read() as tx:
        await roles.require_row(tx, ctx.viewer, Webhook, webhook_id, admin=True)
        rows = (await tx.execute(query)).all()
    return rows[:limit], len(rows) <= limit


async def find(ctx: Context, ids: Iterable[UUID], fields: Collection[str] | None = None) -> Mapping[UUID, Record]:
    """The deliveries with these ids whose workspace the viewer governs, by id."""
    visible = and_(col(Delivery.id).in_(list(ids)), roles.is_admin(ctx.viewer, col(Delivery.workspace_id)))
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(select(*columns(fields)).where(visible))}


async def send_test(ctx: Context, webhook_id: UUID) -> Record:
    """Sends a `test` event at once and returns its delivery. Raises CONFLICT if the endpoint is not active."""
    access.require_scope(ctx.viewer, "webhooks", write=True)
    async with ctx.transaction() as tx:
        webhook = await roles.require_row(tx, ctx.viewer, Webhook, webhook_id, admin=True)
        await _lock_active(tx, webhook_id)
        return await add_test(ctx, tx, webhook)


async def add_test(ctx: Context, tx: Transaction, webhook: Record) -> Record:
    """Writes the delivery of a `test` event, due at once."""
    message = f"A test of the webhook {webhook.label or webhook.id}."
    event = TestEvent(new_id(), webhook.workspace_id, ctx.clock(), {"message": message})
    values = delivery_row(event, webhook.id, TEST_EVENT, await build_test(tx, event))
    _wake(tx, webhook.workspace_id)
    return (await tx.execute(insert(Delivery).values(values).returning(*COLUMNS, col(Delivery.body)))).one()


async def redeliver(ctx: Context, delivery_id: UUID, webhook_id: UUID | None = None) -> Record:
    """Sends the event of a delivery again, whatever its status, with the full number of attempts.

    If `webhook_id` is passed, the delivery must belong to that endpoint. Raises CONFLICT if the endpoint is not active.
    """
    access.require_scope(ctx.viewer, "webhooks", write=True)
    async with ctx.transaction() as tx:
        row = await roles.require_row(tx, ctx.viewer, Delivery, delivery_id, admin=True)
        if webhook_id not in (None, row.webhook_id):
            raise not_found("Delivery", delivery_id)
        await _lock_active(tx, row.webhook_id)
        pending = {"status": DeliveryStatus.PENDING, "attempts": 0, "due_at": ctx.clock(), "delivered_at": None}
        reset = update(Delivery).where(col(Delivery.id) == delivery_id).values(pending)
        delivery = (await tx.execute(reset.returning(*COLUMNS, col(Delivery.body)))).one_or_none()
        if delivery is None:  # deleted by the retention chore since it was read above
            raise not_found("Delivery", delivery_id)
        _wake(tx, row.workspace_id)
    return delivery


async def _lock_active(tx: Transaction, webhook_id: UUID) -> None:
    """Keeps the endpoint from being deleted until the commit. Raises CONFLICT if it is not active."""
    query = select(col(Webhook.is_active)).where(col(Webhook.id) == webhook_id)
    active = (await tx.execute(query.with_for_update(read=True, key_share=True))).scalar_one_or_none()
    if active is None:
        raise not_found("Webhook", webhook_id)
    if not active:
        raise Problem(ErrorCode.CONFLICT, "This webhook is not active, so nothing is sent to it.")


def _wake(tx: Transaction, workspace_id: UUID) -> None:
    """Wakes the workers after the commit. Subscribers ignore the wake-up: 0 is no new position of the event log."""
    tx.wakeups.setdefault(workspace_id, 0)
