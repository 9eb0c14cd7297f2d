"""`/v1/folders`."""

from models.base import Record
from models.folder import FolderChange, FolderDraft
from resolvers.notes import folders
from rest_compat import shapes
from rest_compat.notes_api import V1
from rest_compat.operations import changes, makes, reads, removes
from rest_compat.request import Call
from rest_compat.serializers import millis
from rest_compat.shapes import OneFolder, Removed


def shown(row: Record) -> shapes.Folder:
    return {
        "id": row.id,
        "name": row.name,
        "icon": row.icon,
        "color": row.color,
        "parentFolderId": row.parent_id,
        "createdAt": millis(row.created_at),
        "memberCount": row.member_count,
    }


async def listed(call: Call) -> shapes.Folders:
    """Lists the folders that the caller sees, by name; the parent is null where they don't see it."""
    return {"folders": [shown(row) for row in await folders.listed(call.ctx)]}


async def create(call: Call, body: FolderDraft) -> OneFolder:
    """Creates a folder; a private one is seen by its creator and the workspace's admins."""
    return {"folder": shown(await folders.create(call.ctx, body, call.idempotency_key))}


async def update(call: Call, body: FolderChange) -> OneFolder:
    """Changes the fields that are sent; null clears the icon or the color, or moves the folder to the top."""
    return {"folder": shown(await folders.update(call.ctx, call.ident("Folder"), body))}


async def delete(call: Call) -> Removed:
    """Deletes a folder; its notes and folders move up to its parent."""
    await folders.delete(call.ctx, call.ident("Folder"))
    return {"success": True, "message": "Folder deleted"}


ROUTES = [
    V1.route("/folders", GET=reads(listed), POST=makes(create)),
    V1.route("/folders/{id}", PATCH=changes(update), DELETE=removes(delete)),
]
