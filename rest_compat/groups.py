"""`/v1/workspace/groups`."""

from models.base import Record
from models.people import GroupChange, GroupDraft
from resolvers.workspaces import groups
from rest_compat import serializers, shapes
from rest_compat.notes_api import V1
from rest_compat.operations import create_operation, delete_operation, list_operation, update_operation
from rest_compat.request import Call
from rest_compat.shapes import Confirmation, GroupList, GroupResponse


async def list_all(call: Call) -> GroupList:
    """Lists the workspace's groups by name."""
    workspace_id = call.ctx.viewer.workspace_id
    rows = (await groups.find_groups_of_workspaces(call.ctx, [workspace_id])).get(workspace_id, [])
    sizes = await groups.count_group_members(call.ctx, [row.id for row in rows])
    return {"userGroups": [{**serialize(row), "memberCount": sizes.get(row.id, 0)} for row in rows]}


async def create(call: Call, body: GroupDraft) -> GroupResponse:
    """Creates a group of members."""
    return {"group": serialize(await groups.create_group(call.ctx, body, call.idempotency_key))}


async def update(call: Call, body: GroupChange) -> GroupResponse:
    """Changes the fields that are sent. Null clears the description."""
    return {"group": serialize(await groups.update_group(call.ctx, call.path_id("Group"), body))}


async def delete(call: Call) -> Confirmation:
    """Deletes a group. Its members stay in the workspace."""
    await groups.delete_group(call.ctx, call.path_id("Group"))
    return {"success": True, "message": "Group deleted"}


def serialize(row: Record) -> shapes.Group:
    group: shapes.Group = {"id": row.id, "name": row.name, "createdAt": serializers.millis(row.created_at)}
    if row.description is not None:
        group["description"] = row.description
    return group


ROUTES = [
    V1.route("/workspace/groups", GET=list_operation(list_all), POST=create_operation(create)),
    V1.route("/workspace/groups/{id}", PATCH=update_operation(update), DELETE=delete_operation(delete)),
]
