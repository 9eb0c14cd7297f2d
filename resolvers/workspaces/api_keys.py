"""API keys: a workspace's admins, and keys with the scope for it, see, make and revoke them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import ApiKey
from models.base import Record
from models.limits import limit
from models.people import ApiKeyDraft
from resolvers.auth import access, credentials, roles
from resolvers.core import locks
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.viewer import Viewer

MAX_KEYS = limit(100, "API keys of a workspace that are not revoked", area="Workspaces", beyond="`UNPROCESSABLE`, 422")

SHOWN: tuple[Any, ...] = tuple(
    getattr(ApiKey, name)
    for name in ("id", "workspace_id", "name", "prefix", "scopes", "created_at", "last_used_at", "revoked_at")
)
"""All but the digest."""


async def list_api_keys(ctx: Context) -> Sequence[Record]:
    """The keys of the viewer's workspace, newest first; the revoked ones too."""
    viewer = ctx.viewer
    access.require_scope(viewer, "users")
    query = select(*SHOWN).where(col(ApiKey.workspace_id) == viewer.workspace_id)
    async with ctx.read() as tx:
        await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
        return (await tx.execute(query.order_by(col(ApiKey.created_at).desc(), col(ApiKey.id).desc()))).all()


async def create_api_key(ctx: Context, draft: ApiKeyDraft) -> tuple[Record, str]:
    """A new key of the viewer's workspace, and its text, which is told this once.

    Raises BAD_USER_INPUT for an unknown scope, INSUFFICIENT_SCOPE to a key that has less than what it asks for,
    UNPROCESSABLE beyond MAX_KEYS.
    """
    viewer = ctx.viewer
    access.require_scope(viewer, "users", write=True)
    async with ctx.transaction() as tx:
        await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
        await locks.acquire_lock(tx, "api keys", viewer.workspace_id)
        live = col(ApiKey.workspace_id) == viewer.workspace_id, col(ApiKey.revoked_at).is_(None)
        if (await tx.execute(select(func.count()).select_from(ApiKey).where(*live))).scalar_one() >= MAX_KEYS:
            raise Problem(ErrorCode.UNPROCESSABLE, f"A workspace has at most {MAX_KEYS} live keys.")
        key = await credentials.create_key(tx, viewer.workspace_id, draft.name, draft.scopes)
        _check_covered(viewer, draft.scopes)
        made = select(*SHOWN).where(col(ApiKey.digest) == credentials.hash_key(key))
        return (await tx.execute(made)).one(), key


def _check_covered(viewer: Viewer, scopes: Sequence[str] | None) -> None:
    """Refuses a key that would do more than the key that makes it."""
    own = viewer.scopes
    if own is None:
        return
    if scopes is None or not all(scope in own or scope.removesuffix(":read") in own for scope in scopes):
        raise Problem(ErrorCode.INSUFFICIENT_SCOPE, "A key can't make another with more scopes than its own.", "scopes")


async def revoke_api_key(ctx: Context, key_id: UUID) -> Record:
    """Ends a key at once and for good; to do it again is no change. A key may revoke itself, whatever its scopes."""
    viewer = ctx.viewer
    if key_id != viewer.api_key_id:
        access.require_scope(viewer, "users", write=True)
    async with ctx.transaction() as tx:
        await roles.require_row(tx, viewer, ApiKey, key_id, admin=True)
        ended = func.coalesce(col(ApiKey.revoked_at), func.now())
        revoked = change_rows(ApiKey).where(col(ApiKey.id) == key_id).values(revoked_at=ended)
        return (await tx.execute(revoked.returning(*SHOWN))).one()


async def find_api_keys(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """Those of the keys whose workspace the viewer governs, by id."""
    return await _by_id(ctx, ids, roles.is_admin(ctx.viewer, col(ApiKey.workspace_id)))


async def find_acting_api_keys(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The keys behind ids that were read before, as everybody in their workspace may see them."""
    return await _by_id(ctx, ids, col(ApiKey.workspace_id) == ctx.viewer.workspace_id)


async def _by_id(ctx: Context, ids: Iterable[UUID], condition: Any) -> Mapping[UUID, Record]:
    async with ctx.read() as tx:
        found = await tx.execute(select(*SHOWN).where(col(ApiKey.id).in_(list(ids)), condition))
        return {row.id: row for row in found}
