"""Access control for notes, folders, tags, conversations, messages and suggestions.

A note is readable by the members of its workspace, or if it is private by its creator and the admins; and by the users
it is shared with. Members may edit the notes of their workspace that they can read. A note's creator and the admins
manage it: they may delete it and change who sees it. An API key acts as an admin of its workspace.

Tags belong to all members. A folder is visible to the members, or if it is private to its creator and the admins; its
creator and the admins manage it. A private folder does not hide the notes in it.

Outsiders get NOT_FOUND, so that guessing an id reveals nothing. Insiders without the right get FORBIDDEN.
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
"""The scopes of API keys. `<scope>:read` allows only reading."""


class Right(IntEnum):
    """A right on a note. Each right includes the ones before it."""

    NONE = 0
    READ = 1
    EDIT = 2
    MANAGE = 3


def has_scope(viewer: Viewer, scope: str, *, write: bool = False) -> bool:
    """Whether the caller has the scope, for reading or writing. Only API keys are limited by scopes."""
    return viewer.scopes is None or scope in viewer.scopes or (not write and f"{scope}:read" in viewer.scopes)


def require_scope(viewer: Viewer, scope: str, *, write: bool = False) -> None:
    """Raises INSUFFICIENT_SCOPE for an API key that lacks the scope."""
    if has_scope(viewer, scope, write=write):
        return
    required = scope if write else f"{scope}:read"
    raise Problem(ErrorCode.INSUFFICIENT_SCOPE, f"This API key lacks the scope {required}.")


def note_shared_with(viewer: Viewer) -> ColumnElement[bool]:
    """The SQL condition that a note is shared with the viewer directly."""
    return exists().where(col(NoteShare.note_id) == col(Note.id), col(NoteShare.user_id) == viewer.user_id)


def note_readable_by(viewer: Viewer) -> ColumnElement[bool]:
    """The SQL condition that the viewer may read a note, in whatever workspace it is."""
    if viewer.api_key_id is not None:
        return col(Note.workspace_id) == viewer.workspace_id
    return or_(_as_member(viewer.user_id), note_shared_with(viewer))


def note_readable_by_user(user_id: Any) -> ColumnElement[bool]:
    """The SQL condition that a user may read a note.

    `user_id` is a column; it may be a workspace's own user, as which its API keys act.
    """
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
    """The note's id, workspace_id, visibility, created_by_id and revision, if the viewer has the right.

    `lock` locks the row until the end of the transaction. Raises NOT_FOUND, FORBIDDEN, INSUFFICIENT_SCOPE.
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
    """Returns the note's row if the viewer has the right. Raises NOT_FOUND and FORBIDDEN."""
    inside = is_in_workspace_of(viewer, row)
    if not inside and not row.shared:
        raise not_found("Note", row.id)
    if right_on_note(viewer, row, inside) < right:
        raise forbidden("Note")
    return row


def is_in_workspace_of(viewer: Viewer, row: Record) -> bool:
    """Whether the viewer belongs to the row's workspace. `row.role` is a user's role there; API keys have none."""
    return row.workspace_id == viewer.workspace_id if viewer.api_key_id else row.role is not None


def right_on_note(viewer: Viewer, row: Record, inside: bool) -> Right:
    """The viewer's right on a note. `inside`: whether they belong to its workspace."""
    if not inside:
        return Right.READ if row.shared else Right.NONE
    if viewer.api_key_id or (row.role is not None and row.role.is_admin) or row.created_by_id == viewer.user_id:
        return Right.MANAGE
    if row.visibility is NoteVisibility.PRIVATE:
        return Right.READ if row.shared else Right.NONE
    return Right.EDIT


def in_own_workspace(viewer: Viewer, workspace_id: Mapped[UUID]) -> ColumnElement[bool]:
    """The SQL condition that a row is in one of the viewer's workspaces. `workspace_id` is the row's column."""
    if viewer.api_key_id is not None:
        return workspace_id == viewer.workspace_id
    member = aliased(Member)
    return exists().where(col(member.workspace_id) == workspace_id, col(member.user_id) == viewer.user_id)


def managed_by(viewer: Viewer, table: Any) -> ColumnElement[bool]:
    """The SQL condition that the viewer manages a row of `notes` or `folders`, in whatever workspace it is."""
    if viewer.api_key_id is not None:
        return col(table.workspace_id) == viewer.workspace_id
    member = aliased(Member)
    return exists().where(
        col(member.workspace_id) == col(table.workspace_id),
        col(member.user_id) == viewer.user_id,
        or_(col(table.created_by_id) == viewer.user_id, col(member.role).in_(ADMIN_ROLES)),
    )


def folder_visible_to(viewer: Viewer, folder: Any = Folder) -> ColumnElement[bool]:
    """The SQL condition that a folder is visible to the viewer, in whatever workspace it is."""
    is_public = and_(col(folder.is_private).is_(False), in_own_workspace(viewer, col(folder.workspace_id)))
    return or_(managed_by(viewer, folder), is_public)


async def require_folder(tx: Transaction, viewer: Viewer, folder_id: UUID, *, change: bool = False) -> Record:
    """The folder's id and workspace_id. Raises NOT_FOUND, and FORBIDDEN for a change by who does not manage it."""
    require_scope(viewer, "folders", write=change)
    query = select(col(Folder.id), col(Folder.workspace_id), managed_by(viewer, Folder).label("managed"))
    row = (await tx.execute(query.where(col(Folder.id) == folder_id, folder_visible_to(viewer)))).one_or_none()
    if row is None:
        raise not_found("Folder", folder_id)
    if change and not row.managed:
        raise forbidden("Folder")
    return row


async def require_tag(tx: Transaction, viewer: Viewer, tag_id: UUID, *, change: bool = False) -> Record:
    """The row of a tag in one of the viewer's workspaces. Raises NOT_FOUND."""
    require_scope(viewer, "notes", write=change)
    query = select(Tag).where(col(Tag.id) == tag_id, in_own_workspace(viewer, col(Tag.workspace_id)))
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise not_found("Tag", tag_id)
    return row


async def require_conversation(tx: Transaction, viewer: Viewer, conversation_id: UUID, *, lock: bool = False) -> Record:
    """The row of the viewer's own conversation, if they may read its note. Raises NOT_FOUND, also for another user's.

    `lock` locks the row for a change, for which an API key needs the scope to write.
    """
    require_scope(viewer, "notes", write=lock)
    query = select(Conversation).where(col(Conversation.id) == conversation_id, conversation_owned_by(viewer))
    row = (await tx.execute(query.with_for_update(of=Conversation) if lock else query)).one_or_none()
    if row is None:
        raise not_found("Conversation", conversation_id)
    await require_note(tx, viewer, row.note_id, Right.READ)
    return row


def note_parents(viewer: Viewer, note_ids: Sequence[UUID]) -> Parents:
    """Notes whose lists are read together, each with the checks of `require_note` for reading."""
    require_scope(viewer, "notes")
    query = _parents_with_notes(viewer, col(Note.id)).where(col(Note.id) == any_of(note_ids))
    return Parents(note_ids, query, "Note", _check_readable)


def conversation_parents(viewer: Viewer, conversation_ids: Sequence[UUID]) -> Parents:
    """The viewer's conversations whose lists are read together, each with the checks of `require_conversation`."""
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
    """The rows of a message in the viewer's own conversations and of its conversation. Raises NOT_FOUND."""
    return await _require_in_conversation(tx, viewer, Message, message_id)


async def require_suggestion(
    tx: Transaction, viewer: Viewer, suggestion_id: UUID, *, lock: bool = False
) -> tuple[Record, Record]:
    """The rows of a suggestion in the viewer's own conversations and of its conversation. Raises NOT_FOUND.

    `lock` locks the conversation's row for a change. The suggestion's row was read before the lock.
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
        # The error must reveal neither a row of another user nor its conversation.
        raise not_found(table.__name__, ident) if problem.code is ErrorCode.NOT_FOUND else problem from None


def conversation_owned_by(viewer: Viewer) -> ColumnElement[bool]:
    """The SQL condition that a conversation is the viewer's own."""
    is_owner = col(Conversation.user_id) == viewer.user_id
    # The workspace's own user belongs to all keys of that workspace, and to no other workspace.
    return and_(is_owner, col(Conversation.workspace_id) == viewer.workspace_id if viewer.api_key_id else true())
