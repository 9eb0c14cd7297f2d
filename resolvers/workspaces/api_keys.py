"""API keys of workspaces. Admins, and keys with the scope `users`, list, create and revoke them."""

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

COLUMNS: tuple[Any, ...] = tuple(
    getattr(ApiKey, name)
    for name in ("id", "workspace_id", "name", "prefix", "scopes", "created_at", "last_used_at", "revoked_at")
)
"""All columns except the digest."""


async def list_api_keys(ctx: Context) -> Sequence[Record]:
    """The keys of the viewer's workspace, newest first, including revoked ones."""
    viewer = ctx.viewer
    access.require_scope(viewer, "users")
    query = select(*COLUMNS).where(col(ApiKey.workspace_id) == viewer.workspace_id)
    async with ctx.read() as tx:
        await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
        return (await tx.execute(query.order_by(col(ApiKey.created_at).desc(), col(ApiKey.id).desc()))).all()


async def create_api_key(ctx: Context, draft: ApiKeyDraft) -> tuple[Record, str]:
    """Creates a key of the viewer's workspace. Returns its row and its text, which is returned only here.

    Raises BAD_USER_INPUT for an unknown scope, INSUFFICIENT_SCOPE to a key that lacks a scope of the new one, and
    UNPROCESSABLE beyond MAX_KEYS.
    """
    viewer = ctx.viewer
    access.require_scope(viewer, "users", write=True)
    async with ctx.transaction() as tx:
        await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
        await locks.acquire_lock(tx, "api keys", viewer.workspace_id)
        live = col(ApiKey.workspace_id) == viewer.workspace_id, col(ApiKey.revoked_at).is_(None)
        if (await tx.execute(select(func.count()).select_from(ApiKey).where(*live))).scalar_one() >= MAX_KEYS:
            raise Problem(ErrorCode.UNPROCESSABLE, f"A workspace has at most {MAX_KEYS} keys that are not revoked.")
        key = await credentials.create_key(tx, viewer.workspace_id, draft.name, draft.scopes)
        _check_covered(viewer, draft.scopes)
        created = select(*COLUMNS).where(col(ApiKey.digest) == credentials.hash_key(key))
        return (await tx.execute(created)).one(), key


def _check_covered(viewer: Viewer, scopes: Sequence[str] | None) -> None:
    """Raises INSUFFICIENT_SCOPE if the viewer is a key and the new key would have a scope that it lacks."""
    own = viewer.scopes
    if own is None:
        return
    if scopes is None or not all(scope in own or scope.removesuffix(":read") in own for scope in scopes):
        raise Problem(
            ErrorCode.INSUFFICIENT_SCOPE, "A key can't create another with more scopes than its own.", "scopes"
        )


async def revoke_api_key(ctx: Context, key_id: UUID) -> Record:
    """Revokes a key for good. Revoking it again changes nothing. A key may revoke itself, whatever its scopes."""
    viewer = ctx.viewer
    if key_id != viewer.api_key_id:
        access.require_scope(viewer, "users", write=True)
    async with ctx.transaction() as tx:
        await roles.require_row(tx, viewer, ApiKey, key_id, admin=True)
        ended = func.coalesce(col(ApiKey.revoked_at), func.now())
        revoked = change_rows(ApiKey).where(col(ApiKey.id) == key_id).values(revoked_at=ended)
        return (await tx.execute(revoked.returning(*COLUMNS))).one()


async def find_api_keys(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The keys with these ids in workspaces of which the viewer is an admin, by id."""
    return await _by_id(ctx, ids, roles.is_admin(ctx.viewer, col(ApiKey.workspace_id)))


async def find_acting_api_keys(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The keys with these ids in the viewer's workspace, as the actors of events, which every member sees."""
    return await _by_id(ctx, ids, col(ApiKey.workspace_id) == ctx.viewer.workspace_id)


async def _by_id(ctx: Context, ids: Iterable[UUID], condition: Any) -> Mapping[UUID, Record]:
    async with ctx.read() as tx:
        rows = await tx.execute(select(*COLUMNS).where(col(ApiKey.id).in_(list(ids)), condition))
        return {row.id: row for row in rows}
