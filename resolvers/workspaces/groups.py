"""Groups of members, which give no rights. Every member sees them; admins create, change and delete them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, insert, select
from sqlalchemy import delete as remove
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Group, GroupMember, InviteGroup
from models.base import Record, new_id
from models.limits import limit
from models.people import GroupChange, GroupDraft
from resolvers.auth import access, roles
from resolvers.core import locks
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.idempotency import claim

MAX_GROUPS = limit(1_000, "Groups of a workspace", area="Workspaces", beyond="`UNPROCESSABLE`, 422")


async def create_group(ctx: Context, draft: GroupDraft, key: str | None = None) -> Record:
    """Creates a group in the viewer's workspace. A second call with the same idempotency key returns the first one.

    Raises ALREADY_EXISTS if a group has the name, UNPROCESSABLE beyond MAX_GROUPS.
    """
    viewer, group_id = ctx.viewer, new_id()
    access.require_scope(viewer, "users", write=True)
    async with ctx.transaction() as tx:
        await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
        await locks.acquire_lock(tx, "groups", viewer.workspace_id)
        created_id = await claim(tx, viewer, key, group_id, operation="createGroup", draft=draft)
        if created_id != group_id:
            return await roles.require_row(tx, viewer, Group, created_id)
        await _check_count(tx, viewer.workspace_id)
        await _check_name(tx, viewer.workspace_id, group_id, draft.name)
        values = {"id": group_id, "workspace_id": viewer.workspace_id, **draft.model_dump()}
        return (await tx.execute(insert(Group).values(values).returning(Group))).one()


async def _check_count(tx: Transaction, workspace_id: UUID) -> None:
    count = select(func.count()).select_from(Group).where(col(Group.workspace_id) == workspace_id)
    if (await tx.execute(count)).scalar_one() >= MAX_GROUPS:
        raise Problem(ErrorCode.UNPROCESSABLE, f"A workspace has at most {MAX_GROUPS:,} groups.")


async def _check_name(tx: Transaction, workspace_id: UUID, group_id: UUID, name: str) -> None:
    """Raises ALREADY_EXISTS if another group has the name. The caller holds the lock on the workspace's groups."""
    same_name = select(col(Group.id)).where(
        col(Group.workspace_id) == workspace_id, col(Group.name) == name, col(Group.id) != group_id
    )
    if (await tx.execute(same_name)).one_or_none() is not None:
        raise Problem(ErrorCode.ALREADY_EXISTS, "The workspace has a group of this name already.", "name")


async def update_group(ctx: Context, group_id: UUID, change: GroupChange) -> Record:
    """Changes the fields that were sent. Raises ALREADY_EXISTS if another group has the name."""
    viewer = ctx.viewer
    access.require_scope(viewer, "users", write=True)
    values = change.model_dump(exclude_unset=True)
    async with ctx.transaction() as tx:
        group = await roles.require_row(tx, viewer, Group, group_id, admin=True)
        if not values:
            return group
        await locks.acquire_lock(tx, "groups", group.workspace_id)
        if "name" in values:
            await _check_name(tx, group.workspace_id, group_id, change.name)
        changed = change_rows(Group).where(col(Group.id) == group_id).values(values).returning(Group)
        # The group may have been deleted since the right was checked.
        return (await tx.execute(changed)).one_or_none() or await roles.require_row(tx, viewer, Group, group_id)


async def delete_group(ctx: Context, group_id: UUID) -> None:
    """Deletes a group. Its members stay members of the workspace."""
    access.require_scope(ctx.viewer, "users", write=True)
    async with ctx.transaction() as tx:
        await roles.require_row(tx, ctx.viewer, Group, group_id, admin=True)
        await tx.execute(remove(Group).where(col(Group.id) == group_id))


async def find_groups(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The groups with these ids in the viewer's workspaces, by id."""
    query = select(Group).where(
        col(Group.id).in_(list(ids)), access.in_own_workspace(ctx.viewer, col(Group.workspace_id))
    )
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


async def find_groups_of_workspaces(ctx: Context, workspace_ids: Iterable[UUID]) -> Mapping[UUID, list[Record]]:
    """The groups of those of the workspaces that the viewer belongs to, by workspace, sorted by name."""
    access.require_scope(ctx.viewer, "users")
    in_own = access.in_own_workspace(ctx.viewer, col(Group.workspace_id))
    query = select(Group).where(col(Group.workspace_id).in_(list(workspace_ids)), in_own)
    return await _grouped(ctx, query.order_by(col(Group.name), col(Group.id)), "workspace_id")


async def count_group_members(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, int]:
    """The number of members of each group. A group without members is left out."""
    query = select(col(GroupMember.group_id), func.count().label("size")).where(
        col(GroupMember.group_id).in_(list(ids))
    )
    async with ctx.read() as tx:
        return {row.group_id: row.size for row in await tx.execute(query.group_by(col(GroupMember.group_id)))}


async def find_groups_of_members(ctx: Context, member_ids: Iterable[UUID]) -> Mapping[UUID, list[Record]]:
    """The groups of members that the viewer was allowed to read, by member, sorted by name."""
    return await _find_groups_by(ctx, GroupMember, "member_id", member_ids)


async def find_groups_of_invites(ctx: Context, invite_ids: Iterable[UUID]) -> Mapping[UUID, list[Record]]:
    """The groups of invites that the viewer was allowed to read, by invite, sorted by name."""
    return await _find_groups_by(ctx, InviteGroup, "invite_id", invite_ids)


async def _find_groups_by(ctx: Context, link: Any, key: str, ids: Iterable[UUID]) -> Mapping[UUID, list[Record]]:
    holder = getattr(link, key)
    columns: tuple[Any, ...] = (Group, holder)
    query = select(*columns).join(link, link.group_id == col(Group.id)).where(holder.in_(list(ids)))
    return await _grouped(ctx, query.order_by(col(Group.name), col(Group.id)), key)


async def _grouped(ctx: Context, query: Select[Any], key: str) -> Mapping[UUID, list[Record]]:
    groups: defaultdict[UUID, list[Record]] = defaultdict(list)
    async with ctx.read() as tx:
        for row in await tx.execute(query):
            groups[getattr(row, key)].append(row)
    return groups


async def lock_groups(tx: Transaction, workspace_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """Locks groups of the workspace against their deletion. Raises UNPROCESSABLE for an unknown one.

    Call it before rows that refer to the groups are written, in the order of those who delete a group.
    """
    requested = set(ids)
    if not requested:
        return requested
    query = select(col(Group.id)).where(col(Group.id).in_(requested), col(Group.workspace_id) == workspace_id)
    locked = query.order_by(col(Group.id)).with_for_update(read=True, key_share=True)
    known = set((await tx.execute(locked)).scalars())
    if requested - known:
        raise Problem(ErrorCode.UNPROCESSABLE, f"Unknown group {min(requested - known)}.", "groupIds")
    return requested
