"""Zapier's REST hooks: endpoints that are identified by their address and receive `note.created`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete as remove
from sqlalchemy import select
from sqlmodel import col

from models import Webhook
from models.base import new_id
from resolvers.auth import access, roles
from resolvers.core import locks
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import Problem, bad_input, not_found
from resolvers.webhooks.drafts import ZapierHook
from resolvers.webhooks.endpoints import ACTIVATED, add, write
from resolvers.webhooks.url_policy import check_url

FIELD = "hookUrl"


async def subscribe(ctx: Context, draft: ZapierHook) -> None:
    """Sends new notes to the address from now on. If it is subscribed already, it is activated again.

    Raises BAD_USER_INPUT for an address that can't be posted to, UNPROCESSABLE beyond MAX_WEBHOOKS.
    """
    access.require_scope(ctx.viewer, "webhooks", write=True)
    try:
        check_url(draft.hook_url, allow_local=ctx.limits.webhooks_allow_local)
    except Problem as problem:
        raise bad_input(FIELD, problem.message) from None
    async with ctx.transaction() as tx:
        existing = await _locked_hooks(ctx, tx, draft)
        for webhook_id in existing:
            await write(tx, webhook_id, ACTIVATED)
        if not existing:
            values: dict[str, Any] = {"url": draft.hook_url, "events": ["note.created"], "is_zapier": True}
            await add(ctx, tx, {"id": new_id(), **values})


async def unsubscribe(ctx: Context, draft: ZapierHook) -> None:
    """Sends nothing to the address any more. Raises NOT_FOUND if it is not subscribed."""
    access.require_scope(ctx.viewer, "webhooks", write=True)
    async with ctx.transaction() as tx:
        existing = await _locked_hooks(ctx, tx, draft)
        if not existing:
            raise not_found("Webhook", draft.hook_url[:100])
        await tx.execute(remove(Webhook).where(col(Webhook.id).in_(existing)))


async def _locked_hooks(ctx: Context, tx: Transaction, draft: ZapierHook) -> Sequence[UUID]:
    """The workspace's hooks of this address, of which there may be several, under the lock of all its endpoints."""
    viewer = ctx.viewer
    await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
    await locks.acquire_lock(tx, "webhooks", viewer.workspace_id)
    same = (
        col(Webhook.workspace_id) == viewer.workspace_id,
        col(Webhook.is_zapier),
        col(Webhook.url) == draft.hook_url,
    )
    return (await tx.execute(select(col(Webhook.id)).where(*same))).scalars().all()
