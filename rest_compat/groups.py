"""`/v1/workspace/groups`."""

from models.base import Record
from models.people import GroupChange, GroupDraft
from resolvers.workspaces import groups
from rest_compat import serializers, shapes
from rest_compat.notes_api import V1
from rest_compat.operations import changes, makes, reads, removes
from rest_compat.request import Call
from rest_compat.shapes import OneGroup, Removed, UserGroups


async def listed(call: Call) -> UserGroups:
    """Lists the workspace's groups in the order of their names."""
    place = call.ctx.viewer.workspace_id
    rows = (await groups.of_workspaces(call.ctx, [place])).get(place, [])
    sizes = await groups.sizes(call.ctx, [row.id for row in rows])
    return {"userGroups": [{**shown(row), "memberCount": sizes.get(row.id, 0)} for row in rows]}


async def create(call: Call, body: GroupDraft) -> OneGroup:
    """Creates a group of members."""
    return {"group": shown(await groups.create(call.ctx, body, call.idempotency_key))}


async def update(call: Call, body: GroupChange) -> OneGroup:
    """Changes the fields that are sent; null clears the description."""
    return {"group": shown(await groups.update(call.ctx, call.ident("Group"), body))}


async def delete(call: Call) -> Removed:
    """Deletes a group, whose members stay in the workspace."""
    await groups.delete(call.ctx, call.ident("Group"))
    return {"success": True, "message": "Group deleted"}


def shown(row: Record) -> shapes.Group:
    group: shapes.Group = {"id": row.id, "name": row.name, "createdAt": serializers.millis(row.created_at)}
    if row.description is not None:
        group["description"] = row.description
    return group


ROUTES = [
    V1.route("/workspace/groups", GET=reads(listed), POST=makes(create)),
    V1.route("/workspace/groups/{id}", PATCH=changes(update), DELETE=removes(delete)),
]
