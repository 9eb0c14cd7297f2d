"""Workspaces and the people and keys that act in them."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import case, exists, null, or_, select
from sqlmodel import col

from models import ApiKey, Member, Tag, User, Workspace
from models.base import Record
from resolvers import access
from resolvers.context import Context
from resolvers.errors import not_found

DEFAULT_SETTINGS = {"default_language": "en", "brand_color": "#111827", "enable_transcript_sharing": True}


async def get(ctx: Context, workspace_id: UUID | None = None) -> Record:
    """A workspace of the viewer's; without an id the one they are in. Raises NOT_FOUND."""
    wanted = ctx.me.workspace_id if workspace_id is None else workspace_id
    for row in await mine(ctx):
        if row.id == wanted:
            return row
    raise not_found("Workspace", wanted)


async def mine(ctx: Context) -> Sequence[Record]:
    """All workspaces of the viewer, first joined first; for a key its one."""
    me = ctx.me
    if me.api_key_id is not None:
        query = select(Workspace).where(col(Workspace.id) == me.workspace_id)
    else:
        query = (
            select(Workspace)
            .join(Member, col(Member.workspace_id) == col(Workspace.id))
            .where(col(Member.user_id) == me.user_id)
            .order_by(col(Member.created_at), col(Member.id))
        )
    async with ctx.read() as tx:
        return (await tx.execute(query)).all()


async def tags(ctx: Context, workspace_id: UUID) -> Sequence[Record]:
    """The tags of a workspace that was read before."""
    access.need(ctx.me, "notes")
    async with ctx.read() as tx:
        query = select(Tag).where(col(Tag.workspace_id) == workspace_id).order_by(col(Tag.name), col(Tag.id))
        return (await tx.execute(query)).all()


async def users(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The people behind ids that were read before. Only colleagues, and they themselves, see their address."""
    me = ctx.me
    colleague = exists().where(col(Member.user_id) == col(User.id), col(Member.workspace_id) == me.workspace_id)
    seen = or_(col(User.id) == me.user_id, colleague)
    email = case((seen, col(User.email)), else_=null()).label("email")
    query = select(col(User.id), col(User.name), email, col(User.profile_url)).where(col(User.id).in_(list(ids)))
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


async def api_keys(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """Those of the keys that are of the viewer's workspace, by id; never a digest."""
    columns = [getattr(ApiKey, name) for name in ("id", "name", "prefix", "scopes", "created_at", "last_used_at")]
    mine = col(ApiKey.workspace_id) == ctx.me.workspace_id
    query = select(*columns, col(ApiKey.revoked_at)).where(col(ApiKey.id).in_(list(ids)), mine)
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}
