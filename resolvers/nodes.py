"""Finds rows of any type by their ids alone. An id does not say from which table it is."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import exists, literal, or_, select, union_all
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
from models.limits import limit
from resolvers import notes
from resolvers.auth import access
from resolvers.conversations import conversations, suggestions
from resolvers.core.context import Context
from resolvers.core.errors import bad_input
from resolvers.core.nested_pages import any_of
from resolvers.notes import folders, tags
from resolvers.webhooks import deliveries, endpoints
from resolvers.workspaces import api_keys, groups, invites, members, workspaces

MAX_NODES = limit(100, "Ids in `nodes`", area="Requests", beyond="`BAD_USER_INPUT`, 400")

Columns = Collection[str] | None
Find = Callable[[Context, Iterable[UUID], Columns], Awaitable[Mapping[UUID, Record]]]


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A row and the name of its type. Every other attribute is the row's own."""

    type_name: str
    row: Record

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row, name)


@dataclass(frozen=True, slots=True)
class NodeKind:
    """`find` returns the rows that the viewer may see. A key needs the `scope`, or its `:read` form."""

    table: Any
    scope: str | None
    find: Find


def read_all_columns(find: Callable[[Context, Iterable[UUID]], Awaitable[Mapping[UUID, Record]]]) -> Find:
    """Adapts a function that reads all columns, whichever were requested."""

    async def find_rows(ctx: Context, ids: Iterable[UUID], _requested: Columns) -> Mapping[UUID, Record]:
        return await find(ctx, ids)

    return find_rows


async def find_people(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The viewer, the members of their workspaces, and the users as which the keys of these workspaces act."""
    viewer = ctx.viewer
    colleague = exists().where(
        col(Member.user_id) == col(User.id), access.in_own_workspace(viewer, col(Member.workspace_id))
    )
    own = exists().where(col(Workspace.user_id) == col(User.id), access.in_own_workspace(viewer, col(Workspace.id)))
    query = select(User).where(col(User.id).in_(list(ids)), or_(col(User.id) == viewer.user_id, colleague, own))
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


async def find_workspaces(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    requested = set(ids)
    return {row.id: row for row in await workspaces.list_own_workspaces(ctx) if row.id in requested}


async def find_segments(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The segments with these ids of notes that the viewer may read."""
    query = (
        select(TranscriptSegment)
        .join(Note, col(Note.id) == col(TranscriptSegment.note_id))
        .where(col(TranscriptSegment.id).in_(list(ids)), access.note_readable_by(ctx.viewer))
    )
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


# By the names of the GraphQL types. A new type that implements Node is added here.
KINDS = {
    "Note": NodeKind(Note, "notes", notes.find_notes),
    "TranscriptSegment": NodeKind(TranscriptSegment, "notes", read_all_columns(find_segments)),
    "Tag": NodeKind(Tag, "notes", read_all_columns(tags.find_tags)),
    "Folder": NodeKind(Folder, "folders", read_all_columns(folders.find_folders)),
    "Conversation": NodeKind(Conversation, "notes", read_all_columns(conversations.find_conversations)),
    "Message": NodeKind(Message, "notes", read_all_columns(conversations.find_messages)),
    "Suggestion": NodeKind(Suggestion, "notes", read_all_columns(suggestions.find_suggestions)),
    "Workspace": NodeKind(Workspace, None, read_all_columns(find_workspaces)),
    "User": NodeKind(User, "users", read_all_columns(find_people)),
    "Member": NodeKind(Member, "users", read_all_columns(members.find_members)),
    "Group": NodeKind(Group, "users", read_all_columns(groups.find_groups)),
    "Invite": NodeKind(Invite, "users", read_all_columns(invites.find_invites)),
    "ApiKey": NodeKind(ApiKey, "users", read_all_columns(api_keys.find_api_keys)),
    "Webhook": NodeKind(Webhook, "webhooks", read_all_columns(endpoints.find)),
    "WebhookDelivery": NodeKind(Delivery, "webhooks", deliveries.find),
}


async def find_nodes(ctx: Context, ids: Sequence[UUID | None], requested: Columns = None) -> list[NodeRow | None]:
    """The rows with these ids, in their order. None stands for an id that is unknown or not visible to the viewer.

    One statement finds the types of the ids, and one or two more read each of these types, whatever the number of
    ids. `requested` are the columns to read of notes and deliveries.
    """
    if len(ids) > MAX_NODES:
        raise bad_input("ids", f"At most {MAX_NODES} ids are looked up at a time.")
    rows_by_id: dict[UUID, NodeRow] = {}
    for name, ids_of_kind in (await _kinds(ctx, {ident for ident in ids if ident is not None})).items():
        rows = await KINDS[name].find(ctx, ids_of_kind, requested)
        rows_by_id |= {ident: NodeRow(name, row) for ident, row in rows.items()}
    return [None if ident is None else rows_by_id.get(ident) for ident in ids]


async def _kinds(ctx: Context, ids: set[UUID]) -> dict[str, list[UUID]]:
    """The ids by type, visible or not, without the types for which a key lacks the scope."""
    open_kinds = {
        name: kind for name, kind in KINDS.items() if kind.scope is None or access.has_scope(ctx.viewer, kind.scope)
    }
    queries = [
        select(literal(name).label("name"), col(kind.table.id)).where(col(kind.table.id) == any_of(ids))
        for name, kind in open_kinds.items()
    ]
    kinds: dict[str, list[UUID]] = {}
    async with ctx.read() as tx:
        for row in await tx.execute(union_all(*queries)):
            kinds.setdefault(row.name, []).append(row.id)
    return kinds
