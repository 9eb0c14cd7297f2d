"""The one gate: who may do what to which row.

A note is readable by the members of its workspace unless it is private (then by its creator and the admins), and by
whom it was shared with directly. Members edit what they can read in their workspace; its creator and the admins
manage it (delete it, change who sees it). A key acts as an admin of its workspace.

Tags belong to all members. A folder is seen by the members unless it is private (then by its creator and the admins);
its creator and the admins manage it. Folders hide no note.

Outsiders get NOT_FOUND, so that a guess reveals nothing; insiders without the right get FORBIDDEN.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select, true
from sqlalchemy.orm import Mapped, aliased
from sqlmodel import col

from models import Conversation, Folder, Member, Message, Note, NoteShare, Suggestion, Tag, Workspace
from models.base import Record
from models.note import NoteVisibility
from models.workspace import ADMIN_ROLES
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, forbidden, not_found
from resolvers.core.nested_pages import Parents, any_of
from resolvers.core.viewer import Viewer

SCOPES = ("users", "notes", "folders", "webhooks")
"""What a key may be limited to; each also as `<scope>:read`."""


class Right(IntEnum):
    """Each right includes the ones before it."""

    NONE = 0
    READ = 1
    EDIT = 2
    MANAGE = 3


def has_scope(viewer: Viewer, scope: str, *, write: bool = False) -> bool:
    """Whether the scopes of a key, if it is one, include `scope` (or, for reading, `scope:read`)."""
    return viewer.scopes is None or scope in viewer.scopes or (not write and f"{scope}:read" in viewer.scopes)


def require_scope(viewer: Viewer, scope: str, *, write: bool = False) -> None:
    """Refuses a key that lacks the scope."""
    if has_scope(viewer, scope, write=write):
        return
    wanted = scope if write else f"{scope}:read"
    raise Problem(ErrorCode.INSUFFICIENT_SCOPE, f"This API key lacks the scope {wanted}.")


def note_shared_with(viewer: Viewer) -> ColumnElement[bool]:
    return exists().where(col(NoteShare.note_id) == col(Note.id), col(NoteShare.user_id) == viewer.user_id)


def note_readable_by(viewer: Viewer) -> ColumnElement[bool]:
    """The condition on `notes` that holds for the notes this viewer may read, in any workspace."""
    if viewer.api_key_id is not None:
        return col(Note.workspace_id) == viewer.workspace_id
    return or_(_as_member(viewer.user_id), note_shared_with(viewer))


def note_readable_by_user(user_id: Any) -> ColumnElement[bool]:
    """The same for a user that a column names, be it a person or a workspace's own."""
    own = exists().where(col(Workspace.id) == col(Note.workspace_id), col(Workspace.user_id) == user_id)
    shared = exists().where(col(NoteShare.note_id) == col(Note.id), col(NoteShare.user_id) == user_id)
    return or_(_as_member(user_id), shared, own)


def _as_member(user_id: Any) -> ColumnElement[bool]:
    return exists().where(
        col(Member.workspace_id) == col(Note.workspace_id),
        col(Member.user_id) == user_id,
        or_(
            col(Note.visibility) != NoteVisibility.PRIVATE,
            col(Note.created_by_id) == user_id,
            col(Member.role).in_(ADMIN_ROLES),
        ),
    )


async def require_note(tx: Transaction, viewer: Viewer, note_id: UUID, right: Right, *, lock: bool = False) -> Record:
    """The note's row for the gate (id, workspace_id, visibility, created_by_id, revision), if the right is there.

    `lock` holds the row until the end of the transaction. Raises NOT_FOUND, FORBIDDEN, INSUFFICIENT_SCOPE.
    """
    require_scope(viewer, "notes", write=right > Right.READ)
    membership = and_(col(Member.workspace_id) == col(Note.workspace_id), col(Member.user_id) == viewer.user_id)
    query = (
        select(
            col(Note.id),
            col(Note.workspace_id),
            col(Note.visibility),
            col(Note.created_by_id),
            col(Note.revision),
            col(Member.role),
            note_shared_with(viewer).label("shared"),
        )
        .join(Member, membership, isouter=True)
        .where(col(Note.id) == note_id)
    )
    row = (await tx.execute(query.with_for_update(of=Note) if lock else query)).one_or_none()
    if row is None:
        raise not_found("Note", note_id)
    return check_note_right(viewer, row, right)


def check_note_right(viewer: Viewer, row: Record, right: Right) -> Record:
    inside = is_in_workspace_of(viewer, row)
    if not inside and not row.shared:
        raise not_found("Note", row.id)
    if right_on_note(viewer, row, inside) < right:
        raise forbidden("Note")
    return row


def is_in_workspace_of(viewer: Viewer, row: Record) -> bool:
    """Whether the viewer is in the workspace of a row that tells their `role` there (keys have none)."""
    return row.workspace_id == viewer.workspace_id if viewer.api_key_id else row.role is not None


def right_on_note(viewer: Viewer, row: Record, inside: bool) -> Right:
    if not inside:
        return Right.READ if row.shared else Right.NONE
    if viewer.api_key_id or (row.role is not None and row.role.is_admin) or row.created_by_id == viewer.user_id:
        return Right.MANAGE
    if row.visibility is NoteVisibility.PRIVATE:
        return Right.READ if row.shared else Right.NONE
    return Right.EDIT


def in_own_workspace(viewer: Viewer, workspace_id: Mapped[UUID]) -> ColumnElement[bool]:
    """The condition that holds for what is in the viewer's own workspaces, by the column that tells its workspace."""
    if viewer.api_key_id is not None:
        return workspace_id == viewer.workspace_id
    mine = aliased(Member)
    return exists().where(col(mine.workspace_id) == workspace_id, col(mine.user_id) == viewer.user_id)


def managed_by(viewer: Viewer, table: Any) -> ColumnElement[bool]:
    """The condition on `notes` or `folders` that holds for those this viewer manages, in any workspace."""
    if viewer.api_key_id is not None:
        return col(table.workspace_id) == viewer.workspace_id
    mine = aliased(Member)
    return exists().where(
        col(mine.workspace_id) == col(table.workspace_id),
        col(mine.user_id) == viewer.user_id,
        or_(col(table.created_by_id) == viewer.user_id, col(mine.role).in_(ADMIN_ROLES)),
    )


def folder_visible_to(viewer: Viewer, folder: Any = Folder) -> ColumnElement[bool]:
    """The condition on `folders` that holds for those this viewer sees, in any workspace."""
    for_all = and_(col(folder.is_private).is_(False), in_own_workspace(viewer, col(folder.workspace_id)))
    return or_(managed_by(viewer, folder), for_all)


async def require_folder(tx: Transaction, viewer: Viewer, folder_id: UUID, *, change: bool = False) -> Record:
    """The folder's row for the gate (id, workspace_id). Raises NOT_FOUND, and FORBIDDEN for a change of another's."""
    require_scope(viewer, "folders", write=change)
    query = select(col(Folder.id), col(Folder.workspace_id), managed_by(viewer, Folder).label("managed"))
    row = (await tx.execute(query.where(col(Folder.id) == folder_id, folder_visible_to(viewer)))).one_or_none()
    if row is None:
        raise not_found("Folder", folder_id)
    if change and not row.managed:
        raise forbidden("Folder")
    return row


async def require_tag(tx: Transaction, viewer: Viewer, tag_id: UUID, *, change: bool = False) -> Record:
    """The whole row of a tag of the viewer's workspaces. Raises NOT_FOUND."""
    require_scope(viewer, "notes", write=change)
    query = select(Tag).where(col(Tag.id) == tag_id, in_own_workspace(viewer, col(Tag.workspace_id)))
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise not_found("Tag", tag_id)
    return row


async def require_conversation(tx: Transaction, viewer: Viewer, conversation_id: UUID, *, lock: bool = False) -> Record:
    """The viewer's own conversation, if they may still read its note. Raises NOT_FOUND (also for someone else's).

    `lock` holds the row for a change, for which a key needs the scope to write.
    """
    require_scope(viewer, "notes", write=lock)
    query = select(Conversation).where(col(Conversation.id) == conversation_id, conversation_owned_by(viewer))
    row = (await tx.execute(query.with_for_update(of=Conversation) if lock else query)).one_or_none()
    if row is None:
        raise not_found("Conversation", conversation_id)
    await require_note(tx, viewer, row.note_id, Right.READ)
    return row


def note_parents(viewer: Viewer, note_ids: Sequence[UUID]) -> Parents:
    """Notes whose lists are read together, with the gate of `require_note` for reading."""
    require_scope(viewer, "notes")
    query = _parents_with_notes(viewer, col(Note.id)).where(col(Note.id) == any_of(note_ids))
    return Parents(note_ids, query, "Note", _check_readable)


def conversation_parents(viewer: Viewer, conversation_ids: Sequence[UUID]) -> Parents:
    """The viewer's conversations whose lists are read together, with the gate of `require_conversation`."""
    require_scope(viewer, "notes")
    query = _parents_with_notes(viewer, col(Conversation.id))
    query = query.join(Conversation, col(Conversation.note_id) == col(Note.id))
    query = query.where(col(Conversation.id) == any_of(conversation_ids), conversation_owned_by(viewer))
    return Parents(conversation_ids, query, "Conversation", _check_readable)


def _parents_with_notes(viewer: Viewer, parent_id: Mapped[UUID]) -> Select[Any]:
    readable = note_readable_by(viewer)
    columns: list[Any] = [parent_id.label("parent_id"), readable.label("is_readable")]
    return select(*columns).select_from(Note).where(or_(readable, in_own_workspace(viewer, col(Note.workspace_id))))


def _check_readable(parent: Record) -> None:
    if not parent.is_readable:
        raise forbidden("Note")


async def require_message(tx: Transaction, viewer: Viewer, message_id: UUID) -> tuple[Record, Record]:
    """A message of the viewer's own conversations, and its conversation. Raises NOT_FOUND."""
    return await _require_in_conversation(tx, viewer, Message, message_id)


async def require_suggestion(
    tx: Transaction, viewer: Viewer, suggestion_id: UUID, *, lock: bool = False
) -> tuple[Record, Record]:
    """A suggestion in the viewer's own conversations, and its conversation. Raises NOT_FOUND.

    `lock` holds the conversation's row for a change of the suggestion, whose row may be older than the lock.
    """
    return await _require_in_conversation(tx, viewer, Suggestion, suggestion_id, lock=lock)


async def _require_in_conversation(
    tx: Transaction, viewer: Viewer, table: type[Message | Suggestion], ident: UUID, *, lock: bool = False
) -> tuple[Record, Record]:
    require_scope(viewer, "notes", write=lock)
    row = (await tx.execute(select(table).where(col(table.id) == ident))).one_or_none()
    if row is None:
        raise not_found(table.__name__, ident)
    try:
        return row, await require_conversation(tx, viewer, row.conversation_id, lock=lock)
    except Problem as problem:
        # Neither may the answer tell of what is not theirs, nor of its conversation.
        raise not_found(table.__name__, ident) if problem.code is ErrorCode.NOT_FOUND else problem from None


def conversation_owned_by(viewer: Viewer) -> ColumnElement[bool]:
    """The condition on `conversations` that holds for this viewer's own."""
    mine = col(Conversation.user_id) == viewer.user_id
    # The workspace's own user belongs to all keys of that workspace, and to no other workspace.
    return and_(mine, col(Conversation.workspace_id) == viewer.workspace_id if viewer.api_key_id else true())
