"""Whatever has an id of its own, found by nothing but that: ids say nothing of the table that they are from."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, exists, literal, or_, select, union_all
from sqlmodel import col

from models import (
    ApiKey,
    Conversation,
    Delivery,
    Folder,
    Group,
    Invite,
    Member,
    Message,
    Note,
    Suggestion,
    Tag,
    TranscriptSegment,
    User,
    Webhook,
    Workspace,
)
from models.base import Record
from resolvers import notes
from resolvers.auth import access
from resolvers.conversations import conversations, suggestions
from resolvers.core.context import Context
from resolvers.core.errors import bad_input
from resolvers.notes import folders, tags
from resolvers.webhooks import deliveries, endpoints
from resolvers.workspaces import api_keys, groups, invites, members, workspaces

MAX_NODES = 100
"""Ids that are asked for at a time."""

Columns = Collection[str] | None
Find = Callable[[Context, Iterable[UUID], Columns], Awaitable[Mapping[UUID, Record]]]


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A row and the name of its type; all other attributes are the row's own."""

    type_name: str
    row: Record

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row, name)


@dataclass(frozen=True, slots=True)
class Kind:
    """`find` gives those of the ids that the viewer may see; a key needs the `scope` for it."""

    table: Any
    scope: str | None
    find: Find


def read_all_columns(find: Callable[[Context, Iterable[UUID]], Awaitable[Mapping[UUID, Record]]]) -> Find:
    """For what is read whole, whichever columns are wanted."""

    async def found(ctx: Context, ids: Iterable[UUID], _wanted: Columns) -> Mapping[UUID, Record]:
        return await find(ctx, ids)

    return found


async def find_people(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The viewer, their colleagues, and the own users of their workspaces."""
    viewer = ctx.viewer
    colleague = exists().where(
        col(Member.user_id) == col(User.id), access.in_own_workspace(viewer, col(Member.workspace_id))
    )
    own = exists().where(col(Workspace.user_id) == col(User.id), access.in_own_workspace(viewer, col(Workspace.id)))
    query = select(User).where(col(User.id).in_(list(ids)), or_(col(User.id) == viewer.user_id, colleague, own))
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


async def find_workspaces(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    wanted = set(ids)
    return {row.id: row for row in await workspaces.list_own_workspaces(ctx) if row.id in wanted}


async def find_segments(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """Those of the notes that the viewer may read."""
    query = (
        select(TranscriptSegment)
        .join(Note, col(Note.id) == col(TranscriptSegment.note_id))
        .where(col(TranscriptSegment.id).in_(list(ids)), access.note_readable_by(ctx.viewer))
    )
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


# By the names of their types in the contract. Whatever else gets an id is added here.
KINDS = {
    "Note": Kind(Note, "notes", notes.find_notes),
    "TranscriptSegment": Kind(TranscriptSegment, "notes", read_all_columns(find_segments)),
    "Tag": Kind(Tag, "notes", read_all_columns(tags.find_tags)),
    "Folder": Kind(Folder, "folders", read_all_columns(folders.find_folders)),
    "Conversation": Kind(Conversation, "notes", read_all_columns(conversations.find_conversations)),
    "Message": Kind(Message, "notes", read_all_columns(conversations.find_messages)),
    "Suggestion": Kind(Suggestion, "notes", read_all_columns(suggestions.find_suggestions)),
    "Workspace": Kind(Workspace, None, read_all_columns(find_workspaces)),
    "User": Kind(User, "users", read_all_columns(find_people)),
    "Member": Kind(Member, "users", read_all_columns(members.find_members)),
    "Group": Kind(Group, "users", read_all_columns(groups.find_groups)),
    "Invite": Kind(Invite, "users", read_all_columns(invites.find_invites)),
    "ApiKey": Kind(ApiKey, "users", read_all_columns(api_keys.find_api_keys)),
    "Webhook": Kind(Webhook, "webhooks", read_all_columns(endpoints.find)),
    "WebhookDelivery": Kind(Delivery, "webhooks", deliveries.find),
}


async def find_nodes(ctx: Context, ids: Sequence[UUID | None], wanted: Columns = None) -> list[NodeRow | None]:
    """What the ids stand for, in their order; None for what is not there or not the viewer's to see.

    One statement tells of which kinds they are, and each of these kinds is read with one or two more, whatever the
    number of ids. `wanted`: the columns of a note, or of a delivery, that are read.
    """
    if len(ids) > MAX_NODES:
        raise bad_input("ids", f"At most {MAX_NODES} ids are looked up at a time.")
    found: dict[UUID, NodeRow] = {}
    for name, mine in (await _kinds(ctx, {ident for ident in ids if ident is not None})).items():
        rows = await KINDS[name].find(ctx, mine, wanted)
        found |= {ident: NodeRow(name, row) for ident, row in rows.items()}
    return [None if ident is None else found.get(ident) for ident in ids]


async def _kinds(ctx: Context, ids: set[UUID]) -> dict[str, list[UUID]]:
    """The ids by the kind of thing that has them, seen or not; without the kinds that a key has no scope for."""
    open_kinds = {
        name: kind for name, kind in KINDS.items() if kind.scope is None or access.has_scope(ctx.viewer, kind.scope)
    }
    among = any_(literal(list(ids), ARRAY(Uuid())))
    queries = [
        select(literal(name).label("name"), col(kind.table.id)).where(col(kind.table.id) == among)
        for name, kind in open_kinds.items()
    ]
    kinds: dict[str, list[UUID]] = {}
    async with ctx.read() as tx:
        for row in await tx.execute(union_all(*queries)):
            kinds.setdefault(row.name, []).append(row.id)
    return kinds
