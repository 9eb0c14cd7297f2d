"""The members of workspaces: everybody in one sees them, its admins change them, and each may leave."""

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
SHOWN = select(*COLUMNS).join(User, col(User.id) == col(Member.user_id))
"""A member with what is shown of the person."""


def _matching(workspace_id: Any, wanted: MemberFilter) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = col(Member.workspace_id) == workspace_id
    if wanted.search is None or not wanted.search.strip():
        return condition
    # The members of one workspace are few: they are found by its index, and then read.
    named = (col(name).icontains(wanted.search, autoescape=True) for name in (User.name, User.email))
    return and_(condition, or_(*named))


async def list_members(
    ctx: Context, workspace_ids: Sequence[UUID], window: PageArguments, filters: MemberFilter
) -> Pages:
    """A page of the members of each of the workspaces, first joined first."""
    access.require_scope(ctx.viewer, "users")
    parents = roles.workspace_parents(ctx.viewer, workspace_ids)
    return await read_pages(
        ctx, parents, lambda workspace_id: SHOWN.where(_matching(workspace_id, filters)), BY_TIME, window
    )


async def list_members_by_offset(
    ctx: Context, limit: int, offset: int, wanted: MemberFilter
) -> tuple[Sequence[Record], bool]:
    """A page of the viewer's workspace by offset, and whether it is the last."""
    access.require_scope(ctx.viewer, "users")
    check_limit_and_offset(limit, offset)
    query = SHOWN.where(_matching(ctx.viewer.workspace_id, wanted))
    async with ctx.read() as tx:
        await roles.require_workspace(tx, ctx.viewer, ctx.viewer.workspace_id)
        found = (await tx.execute(BY_TIME.apply(query, PageArguments(first=limit)).offset(offset))).all()
    return found[:limit], len(found) <= limit


async def get_member(ctx: Context, member_id: UUID) -> Record:
    found = (await find_members(ctx, [member_id])).get(member_id)
    if found is None:
        raise not_found("Member", member_id)
    return found


async def find_members(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """Those of the members that are in the viewer's workspaces, by id."""
    access.require_scope(ctx.viewer, "users")
    query = SHOWN.where(col(Member.id).in_(list(ids)), access.in_own_workspace(ctx.viewer, col(Member.workspace_id)))
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


async def update_member(ctx: Context, member_id: UUID, change: MemberChange) -> Record:
    """Changes the role and the groups, whichever were sent.

    Raises CONFLICT for the demotion of the last admin, UNPROCESSABLE for a group that is not there.
    """
    viewer, fields = ctx.viewer, change.model_fields_set
    access.require_scope(viewer, "users", write=True)
    async with ctx.transaction() as tx:
        member = await roles.require_row(tx, viewer, Member, member_id, admin=True)
        await locks.acquire_lock(tx, "members", member.workspace_id)
        if "role" in fields:
            if not change.role.is_admin:
                await _keep_an_admin(tx, member)
            await tx.execute(change_rows(Member).where(col(Member.id) == member_id).values(role=change.role))
        if "group_ids" in fields:
            await _regroup(tx, member, change.group_ids)
        row = (await tx.execute(SHOWN.where(col(Member.id) == member_id))).one_or_none()
    if row is None:  # removed since the gate
        raise not_found("Member", member_id)
    return row


async def remove_member(ctx: Context, member_id: UUID) -> None:
    """Removes a member, whose notes stay; everybody may remove themself. Raises CONFLICT for the last admin."""
    viewer = ctx.viewer
    access.require_scope(viewer, "users", write=True)
    async with ctx.transaction() as tx:
        member = await roles.require_row(tx, viewer, Member, member_id)
        if member.user_id != viewer.user_id and not member.viewer_role.is_admin:
            raise forbidden("Member")
        await locks.acquire_lock(tx, "members", member.workspace_id)
        await _keep_an_admin(tx, member)
        await tx.execute(remove_rows(Member).where(col(Member.id) == member_id))


async def _keep_an_admin(tx: Transaction, member: Record) -> None:
    """Refuses to lose the last admin. The members are held, so that two can't demote each other at the same moment."""
    admins = select(col(Member.id)).where(
        col(Member.workspace_id) == member.workspace_id, col(Member.role).in_(ADMIN_ROLES)
    )
    if (await tx.execute(admins.limit(2))).scalars().all() == [member.id]:
        raise Problem(ErrorCode.CONFLICT, "The last admin of a workspace can't be removed or demoted.")


async def _regroup(tx: Transaction, member: Record, group_ids: Sequence[UUID]) -> None:
    wanted = await groups.lock_groups(tx, member.workspace_id, group_ids)
    left = and_(col(GroupMember.member_id) == member.id, col(GroupMember.group_id).not_in(wanted))
    await tx.execute(remove_rows(GroupMember).where(left))
    await add_to_groups(tx, member.workspace_id, member.id, wanted)


async def add_to_groups(tx: Transaction, workspace_id: UUID, member_id: UUID, group_ids: Iterable[UUID]) -> None:
    """Puts a member into groups that were found before."""
    place = {"workspace_id": workspace_id, "member_id": member_id}
    rows = [{**place, "group_id": group_id} for group_id in group_ids]
    if rows:
        await tx.execute(upsert(GroupMember).on_conflict_do_nothing(), rows)
