"""Zapier's endpoints: known by their address alone, and told of new notes."""

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
from resolvers.core.context import Context, Transaction
from resolvers.core.errors import Problem, bad_input, not_found
from resolvers.webhooks.drafts import ZapierHook
from resolvers.webhooks.endpoints import ACTIVATED, add, write
from resolvers.webhooks.url_policy import refuse

FIELD = "hookUrl"


async def hook(ctx: Context, draft: ZapierHook) -> None:
    """Tells the address of new notes from now on. One that is told already stays, and is switched on again.

    Raises BAD_USER_INPUT for an address that can't be posted to, UNPROCESSABLE beyond MAX_WEBHOOKS.
    """
    access.require_scope(ctx.viewer, "webhooks", write=True)
    try:
        refuse(draft.hook_url, allow_local=ctx.limits.webhooks_allow_local)
    except Problem as problem:
        raise bad_input(FIELD, problem.message) from None
    async with ctx.transaction() as tx:
        found = await _held(ctx, tx, draft)
        for webhook_id in found:
            await write(tx, webhook_id, ACTIVATED)
        if not found:
            values: dict[str, Any] = {"url": draft.hook_url, "events": ["note.created"], "is_zapier": True}
            await add(ctx, tx, {"id": new_id(), **values})


async def unhook(ctx: Context, draft: ZapierHook) -> None:
    """Tells the address no more. Raises NOT_FOUND where it was not told."""
    access.require_scope(ctx.viewer, "webhooks", write=True)
    async with ctx.transaction() as tx:
        found = await _held(ctx, tx, draft)
        if not found:
            raise not_found("Webhook", draft.hook_url[:100])
        await tx.execute(remove(Webhook).where(col(Webhook.id).in_(found)))


async def _held(ctx: Context, tx: Transaction, draft: ZapierHook) -> Sequence[UUID]:
    """The endpoints of this address, of which nothing keeps a workspace from having several; they all are held."""
    viewer = ctx.viewer
    await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
    await locks.acquire_lock(tx, "webhooks", viewer.workspace_id)
    mine = col(Webhook.workspace_id) == viewer.workspace_id, col(Webhook.is_zapier), col(Webhook.url) == draft.hook_url
    return (await tx.execute(select(col(Webhook.id)).where(*mine))).scalars().all()
