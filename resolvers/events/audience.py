"""The audience of an event: who may see it. Each EventType declares its own."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from models import Role
from models.base import Record
from models.event import Audience
from models.note import NoteVisibility
from resolvers.auth import access
from resolvers.core.ports.event_feeds import Permissions
from resolvers.core.viewer import Viewer


def describe_audience(note: Record, shared_with: Iterable[UUID] = ()) -> dict[str, Any]:
    """Who may read the note now, for the payload of its event: once the note is deleted, only the event says so."""
    users = [note.created_by_id, *shared_with]
    return {"private": note.visibility is NoteVisibility.PRIVATE, "users": [str(user) for user in users if user]}


def can_see(viewer: Viewer, event: Record, permissions: Permissions) -> bool:
    """Whether the viewer may see the event, by the audience of its type."""
    match event.type.audience:
        case Audience.NOTE_READERS:
            return _can_read_note(viewer, event, permissions)
        case Audience.OWNER:
            return event.owner_id == viewer.user_id and _can_read_note(viewer, event, permissions)
        case Audience.WEBHOOK_ADMINS:
            role = permissions.role(viewer, event.workspace_id)
            return role is not None and role.is_admin and access.has_scope(viewer, "webhooks")
    return False


def _can_read_note(viewer: Viewer, event: Record, permissions: Permissions) -> bool:
    if event.note_id is None:
        return False
    note = permissions.note(viewer, event.note_id)
    if note is not None:
        return permissions.is_readable(viewer, note)
    return _could_read_note(viewer, event, permissions.role(viewer, event.workspace_id))


def _could_read_note(viewer: Viewer, event: Record, role: Role | None) -> bool:
    """Whether the viewer could read a note that was deleted since: the event itself says so."""
    readers: dict[str, Any] | None = event.payload.get("audience")
    if readers is None:
        return event.type.audience is Audience.OWNER
    is_reader_by_role = role is not None and (not readers["private"] or role.is_admin)
    return is_reader_by_role or str(viewer.user_id) in readers["users"]
