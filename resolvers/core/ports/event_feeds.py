"""The port to the event feeds of this process; `resolvers.events.feed` implements it."""

from collections.abc import AsyncGenerator, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from models import Role
from models.base import Record
from resolvers.core.viewer import Viewer


class Permissions(Protocol):
    """What is known of the permissions of some viewers on some notes, all as of one moment."""

    @property
    def read_at(self) -> float:
        """The moment of the read, on the monotonic clock."""

    def covers(self, viewer: Viewer, workspace_id: UUID, note_ids: Set[UUID]) -> bool:
        """Whether the viewer and the notes were part of the read."""

    def require_access(self, viewer: Viewer) -> None:
        """Raises UNAUTHENTICATED for a revoked API key, FORBIDDEN for a user who is no longer a member."""

    def role(self, viewer: Viewer, workspace_id: UUID) -> Role | None:
        """The viewer's role in a workspace. None for an outsider."""

    def note(self, viewer: Viewer, note_id: UUID | None) -> Any:
        """The note with what decides the viewer's rights on it. None if it does not exist."""

    def is_readable(self, viewer: Viewer, note: Any) -> bool:
        """Whether the viewer may read a note that `note` returned."""


class PermissionReader(Protocol):
    """Reads permissions, for all callers of one moment in the same statements."""

    async def read(self, viewer: Viewer, workspace_id: UUID, note_ids: Iterable[UUID]) -> Permissions:
        """What holds for the viewer and the notes; the read begins after the call."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A viewer who subscribes to a workspace's event log, or with `note_id` to the events of one note."""

    viewer: Viewer
    workspace_id: UUID
    note_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in their order. `permissions` were read after the events; None if they are not known."""

    events: Sequence[Record]
    permissions: Permissions | None = None


class EventFeeds(Protocol):
    """The event logs that this process reads for its subscribers."""

    @property
    def permissions(self) -> PermissionReader: ...

    def subscribe(self, subscriber: Subscriber, after: int, newest: int = 0) -> AsyncGenerator[Batch, None]:
        """Batches of the events after `after`, endlessly and without a gap; an empty batch after a silence.

        `newest` is the log's last event as the caller knows it. Raises CURSOR_EXPIRED if the next event was dropped.
        """
