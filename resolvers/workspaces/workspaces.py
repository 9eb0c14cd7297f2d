"""Workspaces and the people and keys that act in them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import case, exists, func, null, or_, select
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Member, User, Workspace
from models.base import Record
from models.settings import WorkspaceChange
from resolvers.auth import access, roles
from resolvers.core.context import Context
from resolvers.core.errors import not_found

DEFAULT_SETTINGS = {"default_language": "en", "brand_color": "#111827", "enable_transcript_sharing": True}


async def get_workspace(ctx: Context, workspace_id: UUID | None = None) -> Record:
    """One of the viewer's workspaces. Without an id, the one they act in. Raises NOT_FOUND."""
    requested = ctx.viewer.workspace_id if workspace_id is None else workspace_id
    for row in await list_own_workspaces(ctx):
        if row.id == requested:
            return row
    raise not_found("Workspace", requested)


async def list_own_workspaces(ctx: Context) -> Sequence[Record]:
    """All workspaces of the viewer, in the order in which they joined. A key has one."""
    viewer = ctx.viewer
    if viewer.api_key_id is not None:
        query = select(Workspace).where(col(Workspace.id) == viewer.workspace_id)
    else:
        query = (
            select(Workspace)
            .join(Member, col(Member.workspace_id) == col(Workspace.id))
            .where(col(Member.user_id) == viewer.user_id)
            .order_by(col(Member.created_at), col(Member.id))
        )
    async with ctx.read() as tx:
        return (await tx.execute(query)).all()


async def update_workspace(ctx: Context, change: WorkspaceChange) -> Record:
    """Changes the fields and settings of the viewer's workspace that were sent. FORBIDDEN to all but its admins."""
    viewer = ctx.viewer
    access.require_scope(viewer, "users", write=True)
    values: dict[str, Any] = change.model_dump(exclude_unset=True)
    if settings := values.pop("settings", None):
        values["settings"] = col(Workspace.settings).op("||")(settings)
    async with ctx.transaction() as tx:
        await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
        if values:
            changed = change_rows(Workspace).where(col(Workspace.id) == viewer.workspace_id)
            await tx.execute(changed.values(**values, updated_at=func.clock_timestamp()))
        return (await tx.execute(select(Workspace).where(col(Workspace.id) == viewer.workspace_id))).one()


def read_settings(row: Record) -> dict[str, Any]:
    """The settings of a workspace, with the defaults of those that were never changed."""
    return {**DEFAULT_SETTINGS, **row.settings}


async def find_users(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The users with ids that the viewer was allowed to read. Only they and their colleagues see an email address."""
    viewer = ctx.viewer
    colleague = exists().where(
        col(Member.user_id) == col(User.id), access.in_own_workspace(viewer, col(Member.workspace_id))
    )
    sees_email = or_(col(User.id) == viewer.user_id, colleague)
    email = case((sees_email, col(User.email)), else_=null()).label("email")
    query = select(col(User.id), col(User.name), email, col(User.profile_url)).where(col(User.id).in_(list(ids)))
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}
