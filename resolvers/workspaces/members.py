"""Members of workspaces. Every member sees the others; admins change and remove them; everybody may leave."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy import delete as remove_rows
from sqlalchemy import update as change_rows
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col

from models import GroupMember, Member, User
from models.base import Record
from models.people import MemberChange, MemberFilter
from models.workspace import ADMIN_ROLES
from resolvers.auth import access, roles
from resolvers.core import locks
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, forbidden, not_found
from resolvers.core.nested_pages import Pages, read_pages
from resolvers.core.pagination import Order, PageArguments, check_limit_and_offset
from resolvers.workspaces import groups

BY_TIME = Order("member", col(Member.created_at), col(Member.id))
COLUMNS: tuple[Any, ...] = (Member, col(User.name), col(User.email), col(User.profile_url))
MEMBERS = select(*COLUMNS).join(User, col(User.id) == col(Member.user_id))
"""The query for members with the names and addresses of their users."""


def _matching(workspace_id: Any, filters: MemberFilter) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = col(Member.workspace_id) == workspace_id
    if filters.search is None or not filters.search.strip():
        return condition
    # No index on names: the members of one workspace are few.
    named = (col(name).icontains(filters.search, autoescape=True) for name in (User.name, User.email))
    return and_(condition, or_(*named))


async def list_members(
    ctx: Context, workspace_ids: Sequence[UUID], window: PageArguments, filters: MemberFilter
) -> Pages:
    """A page of the members of each workspace, in the order in which they joined."""
    access.require_scope(ctx.viewer, "users")
    parents = roles.workspace_parents(ctx.viewer, workspace_ids)
    return await read_pages(
        ctx, parents, lambda workspace_id: MEMBERS.where(_matching(workspace_id, filters)), BY_TIME, window
    )


async def list_members_by_offset(
    ctx: Context, limit: int, offset: int, filters: MemberFilter
) -> tuple[Sequence[Record], bool]:
    """A page of the members of the viewer's workspace by offset, and whether it is the last one."""
    access.require_scope(ctx.viewer, "users")
    check_limit_and_offset(limit, offset)
    query = MEMBERS.where(_matching(ctx.viewer.workspace_id, filters))
    async with ctx.read() as tx:
        await roles.require_workspace(tx, ctx.viewer, ctx.viewer.workspace_id)
        rows = (await tx.execute(BY_TIME.apply(query, PageArguments(first=limit)).offset(offset))).all()
    return rows[:limit], len(rows) <= limit


async def get_member(ctx: Context, member_id: UUID) -> Record:
    row = (await find_members(ctx, [member_id])).get(member_id)
    if row is None:
        raise not_found("Member", member_id)
    return row


async def find_members(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The members with these ids in the viewer's workspaces, by id."""
    access.require_scope(ctx.viewer, "users")
    query = MEMBERS.where(col(Member.id).in_(list(ids)), access.in_own_workspace(ctx.viewer, col(Member.workspace_id)))
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


async def update_member(ctx: Context, member_id: UUID, change: MemberChange) -> Record:
    """Changes the role and the groups, whichever were sent.

    Raises CONFLICT for the demotion of the last admin, UNPROCESSABLE for an unknown group.
    """
    viewer, fields = ctx.viewer, change.model_fields_set
    access.require_scope(viewer, "users", write=True)
    async with ctx.transaction() as tx:
        member = await roles.require_row(tx, viewer, Member, member_id, admin=True)
        await locks.acquire_lock(tx, "members", member.workspace_id)
        if "role" in fields:
            if not change.role.is_admin:
                await _check_not_last_admin(tx, member)
            await tx.execute(change_rows(Member).where(col(Member.id) == member_id).values(role=change.role))
        if "group_ids" in fields:
            await _replace_groups(tx, member, change.group_ids)
        row = (await tx.execute(MEMBERS.where(col(Member.id) == member_id))).one_or_none()
    if row is None:  # removed since the right was checked
        raise not_found("Member", member_id)
    return row


async def remove_member(ctx: Context, member_id: UUID) -> None:
    """Removes a member, whose notes stay. Everybody may remove themself. Raises CONFLICT for the last admin."""
    viewer = ctx.viewer
    access.require_scope(viewer, "users", write=True)
    async with ctx.transaction() as tx:
        member = await roles.require_row(tx, viewer, Member, member_id)
        if member.user_id != viewer.user_id and not member.viewer_role.is_admin:
            raise forbidden("Member")
        await locks.acquire_lock(tx, "members", member.workspace_id)
        await _check_not_last_admin(tx, member)
        await tx.execute(remove_rows(Member).where(col(Member.id) == member_id))


async def _check_not_last_admin(tx: Transaction, member: Record) -> None:
    """Raises CONFLICT for the last admin. The caller holds the lock on the workspace's members."""
    admins = select(col(Member.id)).where(
        col(Member.workspace_id) == member.workspace_id, col(Member.role).in_(ADMIN_ROLES)
    )
    if (await tx.execute(admins.limit(2))).scalars().all() == [member.id]:
        raise Problem(ErrorCode.CONFLICT, "The last admin of a workspace can't be removed or demoted.")


async def _replace_groups(tx: Transaction, member: Record, group_ids: Sequence[UUID]) -> None:
    locked = await groups.lock_groups(tx, member.workspace_id, group_ids)
    left = and_(col(GroupMember.member_id) == member.id, col(GroupMember.group_id).not_in(locked))
    await tx.execute(remove_rows(GroupMember).where(left))
    await add_to_groups(tx, member.workspace_id, member.id, locked)


async def add_to_groups(tx: Transaction, workspace_id: UUID, member_id: UUID, group_ids: Iterable[UUID]) -> None:
    """Adds a member to groups that `lock_groups` returned."""
    owner = {"workspace_id": workspace_id, "member_id": member_id}
    rows = [{**owner, "group_id": group_id} for group_id in group_ids]
    if rows:
        await tx.execute(upsert(GroupMember).on_conflict_do_nothing(), rows)
