"""`/v1/folders`."""

from models.base import Record
from models.folder import FolderChange, FolderDraft
from resolvers.notes import folders
from rest_compat import shapes
from rest_compat.notes_api import V1
from rest_compat.operations import create_operation, delete_operation, list_operation, update_operation
from rest_compat.request import Call
from rest_compat.serializers import millis
from rest_compat.shapes import Confirmation, FolderResponse


def serialize(row: Record) -> shapes.Folder:
    return {
        "id": row.id,
        "name": row.name,
        "icon": row.icon,
        "color": row.color,
        "parentFolderId": row.parent_id,
        "createdAt": millis(row.created_at),
        "memberCount": row.member_count,
    }


async def list_all(call: Call) -> shapes.FolderList:
    """Lists the folders that are visible to the caller, by name. `parentFolderId` is null for a parent that is not."""
    return {"folders": [serialize(row) for row in await folders.list_folders(call.ctx)]}


async def create(call: Call, body: FolderDraft) -> FolderResponse:
    """Creates a folder. A private folder is visible to its creator and the workspace's admins only."""
    return {"folder": serialize(await folders.create_folder(call.ctx, body, call.idempotency_key))}


async def update(call: Call, body: FolderChange) -> FolderResponse:
    """Changes the fields that are sent. Null clears the icon or the color, or moves the folder to the top."""
    return {"folder": serialize(await folders.update_folder(call.ctx, call.path_id("Folder"), body))}


async def delete(call: Call) -> Confirmation:
    """Deletes a folder. Its notes and folders move up to its parent."""
    await folders.delete_folder(call.ctx, call.path_id("Folder"))
    return {"success": True, "message": "Folder deleted"}


ROUTES = [
    V1.route("/folders", GET=list_operation(list_all), POST=create_operation(create)),
    V1.route("/folders/{id}", PATCH=update_operation(update), DELETE=delete_operation(delete)),
]
