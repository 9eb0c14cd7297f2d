"""`/v1/workspace/tags`."""

from models.base import Record
from models.tag import TagChange, TagDraft
from resolvers.notes import tags
from rest_compat import shapes
from rest_compat.notes_api import V1
from rest_compat.operations import create_operation, delete_operation, list_operation, update_operation
from rest_compat.request import Call
from rest_compat.serializers import millis
from rest_compat.shapes import Confirmation, TagResponse


def serialize(row: Record) -> shapes.Tag:
    return {"id": row.id, "name": row.name, "color": row.color, "createdAt": millis(row.created_at)}


async def list_all(call: Call) -> shapes.TagList:
    """Lists the workspace's tags by name."""
    return {"tags": [serialize(row) for row in await tags.list_tags(call.ctx)]}


async def create(call: Call, body: TagDraft) -> TagResponse:
    """Creates a tag. Its name must be new in the workspace."""
    return {"tag": serialize(await tags.create_tag(call.ctx, body, call.idempotency_key))}


async def update(call: Call, body: TagChange) -> TagResponse:
    """Changes the name or the color of a tag on all its notes."""
    return {"tag": serialize(await tags.update_tag(call.ctx, call.path_id("Tag"), body))}


async def delete(call: Call) -> Confirmation:
    """Deletes a tag and removes it from its notes."""
    await tags.delete_tag(call.ctx, call.path_id("Tag"))
    return {"success": True, "message": "Tag deleted"}


ROUTES = [
    V1.route("/workspace/tags", GET=list_operation(list_all), POST=create_operation(create)),
    V1.route("/workspace/tags/{id}", PATCH=update_operation(update), DELETE=delete_operation(delete)),
]
