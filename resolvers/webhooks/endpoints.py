"""The webhook endpoints of a workspace. Admins manage them, and keys with the scope `webhooks`.

A secret is returned only by the call that creates it, and is stored encrypted.
"""

import secrets
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete as remove
from sqlalchemy import func, insert, select
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Webhook
from models.base import Record, new_id
from models.limits import limit
from resolvers.auth import access, roles
from resolvers.core import locks
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, bad_input, not_found
from resolvers.core.idempotency import claim
from resolvers.webhooks.deliveries import add_test
from resolvers.webhooks.drafts import WebhookChange, WebhookDraft
from resolvers.webhooks.events import EVENT_NAMES
from resolvers.webhooks.url_policy import check_url

MAX_WEBHOOKS = limit(
    20, "Webhook endpoints of a workspace, Zapier's included", area="Webhooks", beyond="`UNPROCESSABLE`, 422"
)
SECRET_OVERLAP_HOURS = limit(
    24,
    "How long the previous secret of a webhook signs after a rotation",
    area="Webhooks",
    unit="hours",
    beyond="only the new secret signs",
)
SECRET_OVERLAP = timedelta(hours=SECRET_OVERLAP_HOURS)
SECRET_BYTES = 32
ACTIVATED = {"is_active": True, "disabled_reason": None, "failing_since": None}
"""The columns of an endpoint that is activated: its failures are forgotten."""

VISIBLE_COLUMNS: tuple[Any, ...] = tuple(
    getattr(Webhook, name)
    for name in ("id", "workspace_id", "url", "label", "events", "is_active", "disabled_reason", "created_at")
)
"""The columns that callers see, without the secrets."""


def list_event_names(ctx: Context) -> list[str]:
    """The names of the events that an endpoint can subscribe to, the older names last."""
    access.require_scope(ctx.viewer, "webhooks")
    return list(EVENT_NAMES)


async def list_endpoints(ctx: Context) -> Sequence[Record]:
    """The endpoints of the viewer's workspace, newest first, without those of Zapier."""
    viewer = ctx.viewer
    access.require_scope(viewer, "webhooks")
    query = select(*VISIBLE_COLUMNS).where(
        col(Webhook.workspace_id) == viewer.workspace_id, col(Webhook.is_zapier).is_(False)
    )
    async with ctx.read() as tx:
        await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
        return (await tx.execute(query.order_by(col(Webhook.created_at).desc(), col(Webhook.id).desc()))).all()


async def get(ctx: Context, webhook_id: UUID) -> Record:
    """An endpoint. Raises NOT_FOUND."""
    access.require_scope(ctx.viewer, "webhooks")
    async with ctx.read() as tx:
        return await roles.require_row(tx, ctx.viewer, Webhook, webhook_id, admin=True)


async def find(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The endpoints with these ids whose workspace the viewer governs, by id."""
    query = select(*VISIBLE_COLUMNS).where(
        col(Webhook.id).in_(list(ids)), roles.is_admin(ctx.viewer, col(Webhook.workspace_id))
    )
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


async def create(ctx: Context, draft: WebhookDraft, key: str | None = None) -> tuple[Record, str]:
    """Creates an endpoint in the viewer's workspace and returns it with its secret. An active one is sent a `test`.

    A repeat with the same idempotency key returns the same endpoint and secret. Raises BAD_USER_INPUT for a URL that
    can't be posted to, UNPROCESSABLE beyond MAX_WEBHOOKS, CONFLICT for a repeat after the secret was rotated.
    """
    viewer, webhook_id = ctx.viewer, new_id()
    access.require_scope(viewer, "webhooks", write=True)
    check_url(draft.url, allow_local=ctx.limits.webhooks_allow_local)
    async with ctx.transaction() as tx:
        await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
        await locks.acquire_lock(tx, "webhooks", viewer.workspace_id)
        existing_id = await claim(tx, viewer, key, webhook_id, operation="createWebhook", draft=draft)
        if existing_id != webhook_id:
            existing = await roles.require_row(tx, viewer, Webhook, existing_id, admin=True)
            return existing, _first_secret(ctx, existing)
        row, secret = await add(ctx, tx, {"id": webhook_id, **draft.model_dump()})
        if row.is_active:
            await add_test(ctx, tx, row)
        return row, secret


def _first_secret(ctx: Context, webhook: Record) -> str:
    """The secret that the create returned. A newer one belongs to the caller who rotated it."""
    if webhook.previous_secret is None:
        with suppress(ValueError):
            return ctx.vault.decrypt(webhook.secret)
    raise Problem(ErrorCode.CONFLICT, "This webhook was created before, and its first secret is no longer available.")


async def add(ctx: Context, tx: Transaction, values: dict[str, Any]) -> tuple[Record, str]:
    """Inserts an endpoint and returns it with its secret. The caller holds the lock on the workspace's endpoints."""
    viewer, secret = ctx.viewer, new_secret()
    counted = select(func.count()).select_from(Webhook).where(col(Webhook.workspace_id) == viewer.workspace_id)
    if (await tx.execute(counted)).scalar_one() >= MAX_WEBHOOKS:
        raise Problem(ErrorCode.UNPROCESSABLE, f"A workspace has at most {MAX_WEBHOOKS} webhooks.")
    owner = {"workspace_id": viewer.workspace_id, "created_by_id": viewer.user_id, "secret": ctx.vault.encrypt(secret)}
    row = (await tx.execute(insert(Webhook).values(**values, **owner).returning(*VISIBLE_COLUMNS))).one()
    return row, secret


def new_secret() -> str:
    """A secret in the form of Standard Webhooks: `whsec_` and base64."""
    return "whsec_" + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


async def update(ctx: Context, webhook_id: UUID, change: WebhookChange) -> Record:
    """Changes the fields that were sent.

    Raises BAD_USER_INPUT for a URL that can't be posted to, and for the URL of a Zapier hook, which identifies it.
    """
    access.require_scope(ctx.viewer, "webhooks", write=True)
    values = change.model_dump(exclude_unset=True)
    if "url" in values:
        check_url(change.url, allow_local=ctx.limits.webhooks_allow_local)
    if values.get("is_active"):
        values |= ACTIVATED
    async with ctx.transaction() as tx:
        row = await roles.require_row(tx, ctx.viewer, Webhook, webhook_id, admin=True)
        if "url" in values and row.is_zapier:
            raise bad_input("url", "Must not be changed: it identifies a Zapier hook.")
        if values.get("url", row.url) != row.url:
            # The failures were those of another address.
            values["failing_since"] = None
        return await write(tx, webhook_id, {**values, "updated_at": func.now()})


async def write(tx: Transaction, webhook_id: UUID, values: dict[str, Any]) -> Record:
    """Updates columns of an endpoint. Raises NOT_FOUND."""
    changed = change_rows(Webhook).where(col(Webhook.id) == webhook_id).values(values).returning(*VISIBLE_COLUMNS)
    row = (await tx.execute(changed)).one_or_none()
    if row is None:  # deleted since it was read
        raise not_found("Webhook", webhook_id)
    return row


async def delete(ctx: Context, webhook_id: UUID) -> None:
    """Deletes an endpoint and its deliveries; pending ones are not sent."""
    access.require_scope(ctx.viewer, "webhooks", write=True)
    async with ctx.transaction() as tx:
        await roles.require_row(tx, ctx.viewer, Webhook, webhook_id, admin=True)
        await tx.execute(remove(Webhook).where(col(Webhook.id) == webhook_id))


async def rotate_secret(ctx: Context, webhook_id: UUID) -> tuple[Record, str]:
    """Gives an endpoint a new secret and returns both. The previous secret signs too during SECRET_OVERLAP."""
    access.require_scope(ctx.viewer, "webhooks", write=True)
    secret = new_secret()
    async with ctx.transaction() as tx:
        await roles.require_row(tx, ctx.viewer, Webhook, webhook_id, admin=True)
        values = {
            "secret": ctx.vault.encrypt(secret),
            "previous_secret": col(Webhook.secret),
            "previous_until": ctx.clock() + SECRET_OVERLAP,
            "updated_at": func.now(),
        }
        return await write(tx, webhook_id, values), secret
