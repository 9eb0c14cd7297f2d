"""`/v1/workspace/tags`."""

from models.base import Record
from models.tag import TagChange, TagDraft
from resolvers.notes import tags
from rest_compat import shapes
from rest_compat.notes_api import V1
from rest_compat.operations import changes, makes, reads, removes
from rest_compat.request import Call
from rest_compat.serializers import millis
from rest_compat.shapes import OneTag, Removed


def shown(row: Record) -> shapes.Tag:
    return {"id": row.id, "name": row.name, "color": row.color, "createdAt": millis(row.created_at)}


async def listed(call: Call) -> shapes.Tags:
    """Lists the workspace's tags by name."""
    return {"tags": [shown(row) for row in await tags.listed(call.ctx)]}


async def create(call: Call, body: TagDraft) -> OneTag:
    """Creates a tag, whose name must be new in the workspace."""
    return {"tag": shown(await tags.create(call.ctx, body, call.idempotency_key))}


async def update(call: Call, body: TagChange) -> OneTag:
    """Changes a tag's name or color, on all its notes."""
    return {"tag": shown(await tags.update(call.ctx, call.ident("Tag"), body))}


async def delete(call: Call) -> Removed:
    """Deletes a tag, also from its notes."""
    await tags.delete(call.ctx, call.ident("Tag"))
    return {"success": True, "message": "Tag deleted"}


ROUTES = [
    V1.route("/workspace/tags", GET=reads(listed), POST=makes(create)),
    V1.route("/workspace/tags/{id}", PATCH=changes(update), DELETE=removes(delete)),
]
