"""The permissions of subscribers: read for all of them together.

A thousand subscribers get an event at the same moment. What decides whether each may see it (the notes' visibility and
shares, memberships, keys) is read for all of them in at most three statements: by the feed, after the event and before
its delivery; and for subscribers that this does not cover, because they joined or were busy meanwhile, in one read for
all that have asked by then.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, func, literal, select
from sqlmodel import col

from models import ApiKey, Member, Note, NoteShare, Role
from models.base import Record
from models.workspace import API_KEY_ROLE
from resolvers.auth import access
from resolvers.auth.credentials import access_revoked
from resolvers.core.database import Database, Transaction
from resolvers.core.retry import retry_until_available
from resolvers.core.viewer import Viewer


@dataclass(frozen=True, slots=True)
class PermissionSnapshot:
    """Permissions as of the moment `read_at` (monotonic clock).

    `notes` has the notes that exist, `roles` is by workspace and user, `keys` has the API keys that are not revoked.
    """

    read_at: float
    query: "PermissionQuery"
    notes: Mapping[UUID, Record]
    roles: Mapping[tuple[UUID, UUID], Role]
    keys: Set[UUID]

    def covers(self, viewer: Viewer, workspace_id: UUID, note_ids: Set[UUID]) -> bool:
        return self.query.covers(viewer, workspace_id, note_ids)

    def require_access(self, viewer: Viewer) -> None:
        """Raises UNAUTHENTICATED for a revoked API key, FORBIDDEN for a user who is no longer a member."""
        membership = (viewer.workspace_id, viewer.user_id)
        if viewer.api_key_id not in self.keys if viewer.api_key_id else membership not in self.roles:
            raise access_revoked(viewer)

    def role(self, viewer: Viewer, workspace_id: UUID) -> Role | None:
        """The viewer's role in a workspace; an API key is an admin of its own. None for an outsider."""
        if viewer.api_key_id is not None:
            return API_KEY_ROLE if workspace_id == viewer.workspace_id else None
        return self.roles.get((workspace_id, viewer.user_id))

    def note(self, viewer: Viewer, note_id: UUID | None) -> Any:
        """The note as `access.check_note_right` takes it: with the viewer's `role`, and `shared` if it is shared with
        them. None if the note does not exist."""
        row = self.notes.get(note_id) if note_id else None
        if row is None:
            return None
        columns = {name: getattr(row, name) for name in ("id", "workspace_id", "visibility", "created_by_id")}
        role = self.roles.get((row.workspace_id, viewer.user_id))
        return SimpleNamespace(**columns, role=role, shared=viewer.user_id in row.users)

    def is_readable(self, viewer: Viewer, note: Any) -> bool:
        """The same as the condition `access.note_readable_by`."""
        return access.right_on_note(viewer, note, access.is_in_workspace_of(viewer, note)) >= access.Right.READ


@dataclass(slots=True)
class PermissionQuery:
    """The notes, users, workspaces and API keys to read."""

    notes: set[UUID] = field(default_factory=set)
    users: set[UUID] = field(default_factory=set)
    workspaces: set[UUID] = field(default_factory=set)
    keys: set[UUID] = field(default_factory=set)

    def add(self, viewer: Viewer, workspace_id: UUID, note_ids: Iterable[UUID]) -> None:
        self.notes.update(note_ids)
        if viewer.api_key_id is not None:
            self.keys.add(viewer.api_key_id)
            return
        self.users.add(viewer.user_id)
        self.workspaces.update((workspace_id, viewer.workspace_id))

    def covers(self, viewer: Viewer, workspace_id: UUID, note_ids: Set[UUID]) -> bool:
        """Whether `add` would change nothing."""
        if not note_ids <= self.notes:
            return False
        if viewer.api_key_id is not None:
            return viewer.api_key_id in self.keys
        return viewer.user_id in self.users and {workspace_id, viewer.workspace_id} <= self.workspaces

    async def execute(self, database: Database) -> PermissionSnapshot:
        started_at = time.monotonic()
        async with database.reader.connect() as connection:
            tx = Transaction(connection)
            return PermissionSnapshot(
                read_at=started_at,
                query=self,
                notes={row.id: row for row in await self._notes(tx)},
                roles={(row.workspace_id, row.user_id): row.role for row in await self._members(tx)},
                keys={row.id for row in await self._keys(tx)},
            )

    async def _notes(self, tx: Transaction) -> Iterable[Record]:
        if not self.notes:
            return ()
        shares = (col(NoteShare.note_id) == col(Note.id), is_any_of(col(NoteShare.user_id), self.users))
        users = select(func.coalesce(func.array_agg(col(NoteShare.user_id)), literal([], IDS))).where(*shares)
        columns = (Note.id, Note.workspace_id, Note.visibility, Note.created_by_id)
        query = select(*map(col, columns), users.scalar_subquery().label("users"))
        return await tx.execute(query.where(is_any_of(col(Note.id), self.notes)))

    async def _members(self, tx: Transaction) -> Iterable[Record]:
        if not self.users:
            return ()
        query = select(col(Member.workspace_id), col(Member.user_id), col(Member.role))
        memberships = (
            is_any_of(col(Member.workspace_id), self.workspaces),
            is_any_of(col(Member.user_id), self.users),
        )
        return await tx.execute(query.where(*memberships))

    async def _keys(self, tx: Transaction) -> Iterable[Record]:
        if not self.keys:
            return ()
        not_revoked = (is_any_of(col(ApiKey.id), self.keys), col(ApiKey.revoked_at).is_(None))
        return await tx.execute(select(col(ApiKey.id)).where(*not_revoked))


@dataclass(slots=True)
class PendingRead:
    """The next read, for all callers that ask before it begins."""

    query: PermissionQuery = field(default_factory=PermissionQuery)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    snapshot: PermissionSnapshot | None = None


IDS = ARRAY(Uuid())


def is_any_of(column: Any, ids: Set[UUID]) -> ColumnElement[bool]:
    """The condition that `column` is one of the ids: one parameter for any number, so the statement stays the same."""
    condition: ColumnElement[bool] = column == any_(literal(list(ids), IDS))
    return condition


class BatchedPermissionReader:
    """Reads permissions for all callers in this process, one read at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next: PendingRead | None = None
        self._reading: asyncio.Task[None] | None = None

    async def read_now(self, query: PermissionQuery) -> PermissionSnapshot:
        """Executes the query, waiting while the database is away."""
        return await retry_until_available("permissions", partial(query.execute, self._database))

    async def read(self, viewer: Viewer, workspace_id: UUID, note_ids: Iterable[UUID]) -> PermissionSnapshot:
        """What holds for the viewer and the notes; the read begins after the call. `workspace_id` is the log's."""
        if self._next is None:
            self._next = PendingRead()
        pending = self._next
        pending.query.add(viewer, workspace_id, note_ids)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_pending())
        # Not the task itself: a caller that is cancelled would cancel it for the others.
        await pending.done.wait()
        if pending.snapshot is None:
            raise AssertionError("a read that is done has a snapshot")
        return pending.snapshot

    async def _read_pending(self) -> None:
        try:
            while (pending := self._next) is not None:
                self._next = None
                pending.snapshot = await self.read_now(pending.query)
                pending.done.set()
        finally:
            self._reading = None
