"""The endpoints of a workspace: its admins, and keys with the scope for it, see, make and change them.

Secrets are told when they are made, never again, and kept encrypted.
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
from resolvers.auth import access, roles
from resolvers.core import locks
from resolvers.core.context import Context, Transaction
from resolvers.core.errors import ErrorCode, Problem, bad_input, not_found
from resolvers.core.idempotency import claim
from resolvers.webhooks.deliveries import add_test
from resolvers.webhooks.drafts import WebhookChange, WebhookDraft
from resolvers.webhooks.events import EVENT_NAMES
from resolvers.webhooks.url_policy import refuse

MAX_WEBHOOKS = 20
"""Endpoints of a workspace, Zapier's among them."""
OVERLAP = timedelta(hours=24)
"""How long the secret before the present one still signs beside it."""
SECRET_BYTES = 32
ACTIVATED = {"is_active": True, "disabled_reason": None, "failing_since": None}
"""What is written of an endpoint that is switched on: its failures are forgotten."""

SHOWN: tuple[Any, ...] = tuple(
    getattr(Webhook, name)
    for name in ("id", "workspace_id", "url", "label", "events", "is_active", "disabled_reason", "created_at")
)
"""All that anybody sees: no secret is among it."""


def names(ctx: Context) -> list[str]:
    """The events that an endpoint can subscribe to, the older names last."""
    access.require_scope(ctx.viewer, "webhooks")
    return list(EVENT_NAMES)


async def listed(ctx: Context) -> Sequence[Record]:
    """The endpoints of the viewer's workspace, newest first; Zapier's are known by their address alone."""
    viewer = ctx.viewer
    access.require_scope(viewer, "webhooks")
    query = select(*SHOWN).where(col(Webhook.workspace_id) == viewer.workspace_id, col(Webhook.is_zapier).is_(False))
    async with ctx.read() as tx:
        await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
        return (await tx.execute(query.order_by(col(Webhook.created_at).desc(), col(Webhook.id).desc()))).all()


async def get(ctx: Context, webhook_id: UUID) -> Record:
    access.require_scope(ctx.viewer, "webhooks")
    async with ctx.read() as tx:
        return await roles.require_row(tx, ctx.viewer, Webhook, webhook_id, admin=True)


async def find(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """Those of the endpoints whose workspace the viewer governs, by id."""
    query = select(*SHOWN).where(col(Webhook.id).in_(list(ids)), roles.is_admin(ctx.viewer, col(Webhook.workspace_id)))
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


async def create(ctx: Context, draft: WebhookDraft, key: str | None = None) -> tuple[Record, str]:
    """A new endpoint of the viewer's workspace and its secret; one that is active is sent a test.

    With an idempotency key only once: the repeat gets the same endpoint and its secret. Raises BAD_USER_INPUT for a URL
    that can't be posted to, UNPROCESSABLE beyond MAX_WEBHOOKS, CONFLICT to a repeat after the secret was replaced.
    """
    viewer, webhook_id = ctx.viewer, new_id()
    access.require_scope(viewer, "webhooks", write=True)
    refuse(draft.url, allow_local=ctx.limits.webhooks_allow_local)
    async with ctx.transaction() as tx:
        await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
        await locks.acquire_lock(tx, "webhooks", viewer.workspace_id)
        made_id = await claim(tx, viewer, key, webhook_id, operation="createWebhook", draft=draft)
        if made_id != webhook_id:
            made = await roles.require_row(tx, viewer, Webhook, made_id, admin=True)
            return made, _first_secret(ctx, made)
        row, secret = await add(ctx, tx, {"id": webhook_id, **draft.model_dump()})
        if row.is_active:
            await add_test(ctx, tx, row)
        return row, secret


def _first_secret(ctx: Context, made: Record) -> str:
    """What the create told. A newer secret is for whoever rotated it."""
    if made.previous_secret is None:
        with suppress(ValueError):
            return ctx.vault.decrypt(made.secret)
    raise Problem(ErrorCode.CONFLICT, "This webhook was made before, and its first secret can't be told again.")


async def add(ctx: Context, tx: Transaction, values: dict[str, Any]) -> tuple[Record, str]:
    """Adds an endpoint with a fresh secret. The workspace's endpoints are held, so that what was counted stays so."""
    viewer, secret = ctx.viewer, new_secret()
    mine = select(func.count()).select_from(Webhook).where(col(Webhook.workspace_id) == viewer.workspace_id)
    if (await tx.execute(mine)).scalar_one() >= MAX_WEBHOOKS:
        raise Problem(ErrorCode.UNPROCESSABLE, f"A workspace has at most {MAX_WEBHOOKS} webhooks.")
    place = {"workspace_id": viewer.workspace_id, "created_by_id": viewer.user_id, "secret": ctx.vault.encrypt(secret)}
    row = (await tx.execute(insert(Webhook).values(**values, **place).returning(*SHOWN))).one()
    return row, secret


def new_secret() -> str:
    """As Standard Webhooks has them."""
    return "whsec_" + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


async def update(ctx: Context, webhook_id: UUID, change: WebhookChange) -> Record:
    """Changes the fields that were sent. Raises BAD_USER_INPUT for a URL that can't be posted to, and for any of a
    Zapier hook, which is known by it."""
    access.require_scope(ctx.viewer, "webhooks", write=True)
    values = change.model_dump(exclude_unset=True)
    if "url" in values:
        refuse(change.url, allow_local=ctx.limits.webhooks_allow_local)
    if values.get("is_active"):
        values |= ACTIVATED
    async with ctx.transaction() as tx:
        row = await roles.require_row(tx, ctx.viewer, Webhook, webhook_id, admin=True)
        if "url" in values and row.is_zapier:
            raise bad_input("url", "Must not be changed: a Zapier hook is known by it.")
        if values.get("url", row.url) != row.url:
            # Those were the failures of another endpoint.
            values["failing_since"] = None
        return await write(tx, webhook_id, {**values, "updated_at": func.now()})


async def write(tx: Transaction, webhook_id: UUID, values: dict[str, Any]) -> Record:
    written = change_rows(Webhook).where(col(Webhook.id) == webhook_id).values(values).returning(*SHOWN)
    row = (await tx.execute(written)).one_or_none()
    if row is None:  # deleted since the gate let it pass
        raise not_found("Webhook", webhook_id)
    return row


async def delete(ctx: Context, webhook_id: UUID) -> None:
    """Deletes an endpoint with its deliveries: what waited for it is sent no more."""
    access.require_scope(ctx.viewer, "webhooks", write=True)
    async with ctx.transaction() as tx:
        await roles.require_row(tx, ctx.viewer, Webhook, webhook_id, admin=True)
        await tx.execute(remove(Webhook).where(col(Webhook.id) == webhook_id))


async def rotate(ctx: Context, webhook_id: UUID) -> tuple[Record, str]:
    """The endpoint and its new secret, which signs from now on; the one before it signs too during OVERLAP."""
    access.require_scope(ctx.viewer, "webhooks", write=True)
    secret = new_secret()
    async with ctx.transaction() as tx:
        await roles.require_row(tx, ctx.viewer, Webhook, webhook_id, admin=True)
        values = {
            "secret": ctx.vault.encrypt(secret),
            "previous_secret": col(Webhook.secret),
            "previous_until": ctx.clock() + OVERLAP,
            "updated_at": func.now(),
        }
        return await write(tx, webhook_id, values), secret
