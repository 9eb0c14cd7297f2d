"""Shares: people who may read a note although it is private, or although they are outside its workspace.

Whoever manages the note adds and removes them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

from sqlalchemy import delete as remove
from sqlalchemy import exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from models import EventType, Note, NoteShare, User, Workspace
from models.base import Record, new_id
from models.note import MAX_SHARES
from resolvers.auth import access
from resolvers.auth.access import Right
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem
from resolvers.events.audience import describe_audience
from resolvers.events.log import publish
from resolvers.notes.read import note_columns


async def share_note(ctx: Context, note_id: UUID, user_id: UUID | None) -> Record:
    """Shares a note with a person of any workspace. Its revision stays; a share that exists changes nothing.

    Raises UNPROCESSABLE for an unknown user (None stands for a malformed id), and beyond MAX_SHARES.
    """
    async with ctx.transaction() as tx:
        note = await access.require_note(tx, ctx.viewer, note_id, Right.MANAGE, lock=True)
        if user_id is None or not await _is_person(tx, user_id):
            raise Problem(ErrorCode.UNPROCESSABLE, "Unknown user.", "userId")
        statement = insert(NoteShare).values(
            id=new_id(), workspace_id=note.workspace_id, note_id=note_id, user_id=user_id
        )
        inserted = await tx.execute(statement.on_conflict_do_nothing(constraint="note_shares_once"))
        if inserted.rowcount:
            # The note's lock keeps two calls at once from adding one share too many.
            count = select(func.count()).select_from(NoteShare).where(col(NoteShare.note_id) == note_id)
            if (await tx.execute(count)).scalar_one() > MAX_SHARES:
                raise Problem(ErrorCode.UNPROCESSABLE, f"A note is shared with at most {MAX_SHARES} people.", "userId")
        return await _publish_change(ctx, tx, note, changed=bool(inserted.rowcount))


async def unshare_note(ctx: Context, note_id: UUID, user_id: UUID | None) -> Record:
    """Removes a share. Nothing changes if there is none."""
    async with ctx.transaction() as tx:
        note = await access.require_note(tx, ctx.viewer, note_id, Right.MANAGE, lock=True)
        share = (col(NoteShare.note_id) == note_id, col(NoteShare.user_id) == user_id)
        deleted = await tx.execute(remove(NoteShare).where(*share))
        return await _publish_change(ctx, tx, note, changed=bool(deleted.rowcount))


async def _publish_change(ctx: Context, tx: Transaction, note: Record, *, changed: bool) -> Record:
    row = (await tx.execute(select(*note_columns(None)).where(col(Note.id) == note.id))).one()
    if changed:
        ids = {"workspace_id": note.workspace_id, "note_id": note.id}
        await publish(tx, ctx.viewer, EventType.NOTE_UPDATED, **ids, audience=describe_audience(note))
    return row


async def _is_person(tx: Transaction, user_id: UUID) -> bool:
    """Whether a user is a person, and not the user as which a workspace's keys act."""
    acts_for_keys = exists().where(col(Workspace.user_id) == col(User.id))
    query = select(col(User.id)).where(col(User.id) == user_id, ~acts_for_keys)
    return (await tx.execute(query)).one_or_none() is not None


async def find_shares(ctx: Context, note_ids: Iterable[UUID]) -> Mapping[UUID, list[UUID]]:
    """The users with whom notes are shared, by note, oldest share first. Only notes that the viewer manages."""
    access.require_scope(ctx.viewer, "notes")
    query = (
        select(col(NoteShare.note_id), col(NoteShare.user_id))
        .join(Note, col(Note.id) == col(NoteShare.note_id))
        .where(col(NoteShare.note_id).in_(list(note_ids)), access.managed_by(ctx.viewer, Note))
        .order_by(col(NoteShare.created_at), col(NoteShare.id))
    )
    people: defaultdict[UUID, list[UUID]] = defaultdict(list)
    async with ctx.read() as tx:
        for row in await tx.execute(query):
            people[row.note_id].append(row.user_id)
    return people
