"""Folders: a tree in each workspace into which notes are sorted. A folder does not restrict who reads its notes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, func, insert, select
from sqlalchemy import delete as remove
from sqlalchemy import update as change_rows
from sqlalchemy.orm import aliased
from sqlmodel import col

from models import Folder, Member, Note
from models.base import Record, new_id
from models.folder import MAX_FOLDER_DEPTH, MAX_FOLDERS, FolderChange, FolderDraft
from models.workspace import ADMIN_ROLES
from resolvers.auth import access
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, not_found
from resolvers.core.idempotency import claim
from resolvers.core.locks import acquire_lock
from resolvers.core.viewer import Viewer

COLUMNS = ("id", "workspace_id", "name", "icon", "color", "is_private", "created_at")


def select_visible(viewer: Viewer, condition: ColumnElement[bool]) -> Select[Any]:
    """The query for the folders of a condition that the viewer sees, with `parent_id` and `member_count`.

    `parent_id` is NULL if the viewer does not see the parent. `member_count` is how many members see the folder.
    """
    parent, creator = aliased(Folder), aliased(Member)
    people = (
        select(
            col(Member.workspace_id),
            func.count().label("members"),
            func.count().filter(col(Member.role).in_(ADMIN_ROLES)).label("admins"),
        )
        .where(col(Member.workspace_id).in_(select(col(Folder.workspace_id)).where(condition)))
        .group_by(col(Member.workspace_id))
        .subquery()
    )
    plain_creator = and_(
        col(creator.workspace_id) == col(Folder.workspace_id),
        col(creator.user_id) == col(Folder.created_by_id),
        col(creator.role).not_in(ADMIN_ROLES),
    )
    few = people.c.admins + case((col(creator.id).is_not(None), 1), else_=0)
    count = case((col(Folder.is_private), few), else_=people.c.members)
    return (
        select(
            *(getattr(Folder, name) for name in COLUMNS),
            col(parent.id).label("parent_id"),
            # A workspace that only keys use has no members.
            func.coalesce(count, 0).label("member_count"),
        )
        .join(people, people.c.workspace_id == col(Folder.workspace_id), isouter=True)
        .join(creator, plain_creator, isouter=True)
        .join(
            parent,
            and_(col(parent.id) == col(Folder.parent_id), access.folder_visible_to(viewer, parent)),
            isouter=True,
        )
        .where(condition, access.folder_visible_to(viewer))
    )


async def list_folders(ctx: Context) -> Sequence[Record]:
    """The folders of the viewer's workspace that they see, sorted by name."""
    here = ctx.viewer.workspace_id
    return (await find_folders_of_workspaces(ctx, [here])).get(here, [])


async def find_folders_of_workspaces(ctx: Context, workspace_ids: Iterable[UUID]) -> Mapping[UUID, list[Record]]:
    """The folders that the viewer sees in these workspaces, by workspace, sorted by name."""
    access.require_scope(ctx.viewer, "folders")
    query = select_visible(ctx.viewer, col(Folder.workspace_id).in_(list(workspace_ids)))
    folders: defaultdict[UUID, list[Record]] = defaultdict(list)
    async with ctx.read() as tx:
        for row in await tx.execute(query.order_by(col(Folder.name), col(Folder.id))):
            folders[row.workspace_id].append(row)
    return folders


async def find_folders(ctx: Context, folder_ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The folders with these ids that the viewer sees, by id."""
    access.require_scope(ctx.viewer, "folders")
    async with ctx.read() as tx:
        rows = await tx.execute(select_visible(ctx.viewer, col(Folder.id).in_(list(folder_ids))))
        return {row.id: row for row in rows}


async def _get(tx: Transaction, viewer: Viewer, folder_id: UUID) -> Record:
    row = (await tx.execute(select_visible(viewer, col(Folder.id) == folder_id))).one_or_none()
    if row is None:
        raise not_found("Folder", folder_id)
    return row


async def create_folder(ctx: Context, draft: FolderDraft, key: str | None = None) -> Record:
    """Creates a folder in the viewer's workspace. A second call with the same idempotency key returns the first one.

    Raises UNPROCESSABLE for an unknown parent, and beyond MAX_FOLDERS and MAX_FOLDER_DEPTH.
    """
    viewer = ctx.viewer
    access.require_scope(viewer, "folders", write=True)
    folder_id = new_id()
    async with ctx.transaction() as tx:
        created_id = await claim(tx, viewer, key, folder_id, operation="createFolder", draft=draft)
        if created_id == folder_id:
            await acquire_lock(tx, "folders", viewer.workspace_id)
            tree = await _tree(tx, viewer.workspace_id)
            if len(tree) >= MAX_FOLDERS:
                raise Problem(ErrorCode.UNPROCESSABLE, f"A workspace has at most {MAX_FOLDERS:,} folders.")
            await _check_parent(tx, viewer, viewer.workspace_id, draft.parent_folder_id)
            check_limit_and_offset(tree, folder_id, draft.parent_folder_id)
            values = {"id": folder_id, "workspace_id": viewer.workspace_id, "created_by_id": viewer.user_id}
            await tx.execute(insert(Folder).values(**values, **_values(draft, set(FolderDraft.model_fields))))
        return await _get(tx, viewer, created_id)


async def update_folder(ctx: Context, folder_id: UUID, change: FolderChange) -> Record:
    """Changes the fields that were sent.

    Raises UNPROCESSABLE for an unknown parent, a parent below the folder itself, and beyond MAX_FOLDER_DEPTH.
    """
    values = _values(change, change.model_fields_set)
    async with ctx.transaction() as tx:
        folder = await _lock_for_change(tx, ctx.viewer, folder_id)
        if "parent_id" in values:
            await _check_parent(tx, ctx.viewer, folder.workspace_id, change.parent_folder_id)
            check_limit_and_offset(await _tree(tx, folder.workspace_id), folder_id, change.parent_folder_id)
        if values:
            await tx.execute(change_rows(Folder).where(col(Folder.id) == folder_id).values(**values))
        return await _get(tx, ctx.viewer, folder_id)


async def delete_folder(ctx: Context, folder_id: UUID) -> None:
    """Deletes a folder. Its notes and folders move to its parent; the revisions of the notes stay."""
    async with ctx.transaction() as tx:
        await _lock_for_change(tx, ctx.viewer, folder_id)
        # The lock waits for those who are just moving a note into the folder; later ones find no folder.
        locked = select(col(Folder.parent_id)).where(col(Folder.id) == folder_id).with_for_update()
        parent_id = (await tx.execute(locked)).scalar_one()
        await tx.execute(change_rows(Folder).where(col(Folder.parent_id) == folder_id).values(parent_id=parent_id))
        await tx.execute(change_rows(Note).where(col(Note.folder_id) == folder_id).values(folder_id=parent_id))
        await tx.execute(remove(Folder).where(col(Folder.id) == folder_id))


async def _lock_for_change(tx: Transaction, viewer: Viewer, folder_id: UUID) -> Record:
    """Checks the right to change a folder, and locks the folders of its workspace until the transaction ends."""
    folder = await access.require_folder(tx, viewer, folder_id, change=True)
    await acquire_lock(tx, "folders", folder.workspace_id)
    # Checked again: whoever held the lock before may have deleted the folder or made it private.
    return await access.require_folder(tx, viewer, folder_id, change=True)


async def lock_folder(tx: Transaction, viewer: Viewer, folder_id: UUID | None) -> Record | None:
    """Locks a folder against its deletion, for a note that is to be put into it. None if the viewer does not see it."""
    if folder_id is None:
        return None
    query = select(col(Folder.id), col(Folder.workspace_id)).where(col(Folder.id) == folder_id)
    visible = query.where(access.folder_visible_to(viewer))
    return (await tx.execute(visible.with_for_update(read=True, key_share=True, of=Folder))).one_or_none()


def check_folder(folder_id: UUID | None, folder: Record | None, workspace_id: UUID) -> None:
    """Raises UNPROCESSABLE unless `lock_folder` returned a folder of the note's own workspace."""
    if folder_id is not None and (folder is None or folder.workspace_id != workspace_id):
        raise Problem(ErrorCode.UNPROCESSABLE, f"Unknown folder {folder_id}.", "folderId")


def _values(draft: FolderDraft, fields: set[str]) -> dict[str, Any]:
    """The values of the columns behind a draft's fields."""
    return {"parent_id" if name == "parent_folder_id" else name: getattr(draft, name) for name in fields}


async def _check_parent(tx: Transaction, viewer: Viewer, workspace_id: UUID, parent_id: UUID | None) -> None:
    if parent_id is None:
        return
    in_workspace = and_(col(Folder.id) == parent_id, col(Folder.workspace_id) == workspace_id)
    if (
        await tx.execute(select(col(Folder.id)).where(in_workspace, access.folder_visible_to(viewer)))
    ).one_or_none() is None:
        raise parent_refused(f"Unknown folder {parent_id}.")


async def _tree(tx: Transaction, workspace_id: UUID) -> dict[UUID, UUID | None]:
    """The parent of each folder of the workspace."""
    query = select(col(Folder.id), col(Folder.parent_id)).where(col(Folder.workspace_id) == workspace_id)
    return {row.id: row.parent_id for row in await tx.execute(query)}


def check_limit_and_offset(tree: Mapping[UUID, UUID | None], folder_id: UUID, parent_id: UUID | None) -> None:
    """Raises UNPROCESSABLE for a parent below the folder itself, and beyond MAX_FOLDER_DEPTH."""
    above = path(tree, parent_id)
    if folder_id in above:
        raise parent_refused("A folder can't be moved into itself or into a folder below it.")
    # The levels that the folder and those below it take.
    height = max(
        (walk.index(folder_id) + 1 for walk in (path(tree, one) for one in tree) if folder_id in walk), default=1
    )
    if len(above) + height > MAX_FOLDER_DEPTH:
        raise parent_refused(f"Folders are at most {MAX_FOLDER_DEPTH} deep.")


def path(tree: Mapping[UUID, UUID | None], folder_id: UUID | None) -> list[UUID]:
    """The ids of a folder and of those above it, upwards."""
    steps = []
    while folder_id is not None:
        steps.append(folder_id)
        folder_id = tree[folder_id]
    return steps


def parent_refused(message: str) -> Problem:
    return Problem(ErrorCode.UNPROCESSABLE, message, "parentFolderId")
