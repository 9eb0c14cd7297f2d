"""Whether those who follow an event log may still see it: read for all of them together.

A thousand followers hear of an event at the same moment. What each must know then (the notes' visibility and shares,
who is still a member, which keys are alive) is read for all of them in three statements at most: by the feed, after
the event and before anybody hears of it; and for those whom that does not serve, because they came or were busy
meanwhile, once all of them have asked.
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
from resolvers.auth import access
from resolvers.auth.credentials import access_revoked
from resolvers.core.context import Database, Transaction, Viewer
from resolvers.core.retry import retry_until_available


@dataclass(frozen=True, slots=True)
class PermissionSnapshot:
    """As of the moment `at`, on the monotonic clock. `notes` has those that exist, `roles` is by workspace and user."""

    at: float
    asked: "PermissionQuery"
    notes: Mapping[UUID, Record]
    roles: Mapping[tuple[UUID, UUID], Role]
    keys: Set[UUID]

    def check(self, viewer: Viewer) -> None:
        """Raises for who has lost their place: UNAUTHENTICATED to a key, FORBIDDEN to a person."""
        place = (viewer.workspace_id, viewer.user_id)
        if viewer.api_key_id not in self.keys if viewer.api_key_id else place not in self.roles:
            raise access_revoked(viewer)

    def role(self, viewer: Viewer, workspace_id: UUID) -> Role | None:
        """What the viewer is in a workspace; a key is an admin of its own. None for an outsider."""
        if viewer.api_key_id is not None:
            return Role.ADMIN if workspace_id == viewer.workspace_id else None
        return self.roles.get((workspace_id, viewer.user_id))

    def note(self, viewer: Viewer, note_id: UUID | None) -> Any:
        """The note as the gate wants it, with the viewer's `role` and whether it is `shared` with them; None: gone."""
        row = self.notes.get(note_id) if note_id else None
        if row is None:
            return None
        known = {name: getattr(row, name) for name in ("id", "workspace_id", "visibility", "created_by_id")}
        role = self.roles.get((row.workspace_id, viewer.user_id))
        return SimpleNamespace(**known, role=role, shared=viewer.user_id in row.users)

    def reads(self, viewer: Viewer, note: Any) -> bool:
        """The same as the condition `access.note_readable_by`."""
        return access.right_on_note(viewer, note, access.is_in_workspace_of(viewer, note)) >= access.Right.READ


@dataclass(slots=True)
class PermissionQuery:
    """Whom and what to look at."""

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
        """Whether `add` would add nothing."""
        if not note_ids <= self.notes:
            return False
        if viewer.api_key_id is not None:
            return viewer.api_key_id in self.keys
        return viewer.user_id in self.users and {workspace_id, viewer.workspace_id} <= self.workspaces

    async def execute(self, database: Database) -> PermissionSnapshot:
        begun = time.monotonic()
        async with database.reader.connect() as connection:
            tx = Transaction(connection)
            return PermissionSnapshot(
                at=begun,
                asked=self,
                notes={row.id: row for row in await self._notes(tx)},
                roles={(row.workspace_id, row.user_id): row.role for row in await self._members(tx)},
                keys={row.id for row in await self._keys(tx)},
            )

    async def _notes(self, tx: Transaction) -> Iterable[Record]:
        if not self.notes:
            return ()
        mine = (col(NoteShare.note_id) == col(Note.id), among(col(NoteShare.user_id), self.users))
        users = select(func.coalesce(func.array_agg(col(NoteShare.user_id)), literal([], IDS))).where(*mine)
        columns = (Note.id, Note.workspace_id, Note.visibility, Note.created_by_id)
        query = select(*map(col, columns), users.scalar_subquery().label("users"))
        return await tx.execute(query.where(among(col(Note.id), self.notes)))

    async def _members(self, tx: Transaction) -> Iterable[Record]:
        if not self.users:
            return ()
        query = select(col(Member.workspace_id), col(Member.user_id), col(Member.role))
        places = (among(col(Member.workspace_id), self.workspaces), among(col(Member.user_id), self.users))
        return await tx.execute(query.where(*places))

    async def _keys(self, tx: Transaction) -> Iterable[Record]:
        if not self.keys:
            return ()
        alive = (among(col(ApiKey.id), self.keys), col(ApiKey.revoked_at).is_(None))
        return await tx.execute(select(col(ApiKey.id)).where(*alive))


@dataclass(slots=True)
class PendingRead:
    """What is read next, for all who have asked until then."""

    question: PermissionQuery = field(default_factory=PermissionQuery)
    read: asyncio.Event = field(default_factory=asyncio.Event)
    facts: PermissionSnapshot | None = None


IDS = ARRAY(Uuid())


def among(column: Any, ids: Set[UUID]) -> ColumnElement[bool]:
    """One parameter, however many ids there are: the statement is the same for the driver."""
    condition: ColumnElement[bool] = column == any_(literal(list(ids), IDS))
    return condition


class PermissionReader:
    """The checks of this process, one read at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next: PendingRead | None = None
        self._reading: asyncio.Task[None] | None = None

    async def read_now(self, question: PermissionQuery) -> PermissionSnapshot:
        """The answer as of now. It waits while the database is away."""
        return await retry_until_available("checks", partial(question.execute, self._database))

    async def read(self, viewer: Viewer, workspace_id: UUID, note_ids: Iterable[UUID]) -> PermissionSnapshot:
        """What is true of the viewer and the notes now: it is read after this was called. `workspace_id`: the log's."""
        if self._next is None:
            self._next = PendingRead()
        asked = self._next
        asked.question.add(viewer, workspace_id, note_ids)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        # Not the task itself: who leaves would take it from the others.
        await asked.read.wait()
        if asked.facts is None:
            raise AssertionError("a round that was read has its facts")
        return asked.facts

    async def _read(self) -> None:
        try:
            while (asked := self._next) is not None:
                self._next = None
                asked.facts = await self.read_now(asked.question)
                asked.read.set()
        finally:
            self._reading = None
