"""`/v1/workspace`: the caller's workspace."""

from models.base import Record
from models.settings import WorkspaceChange
from resolvers.workspaces import workspaces
from rest_compat import shapes
from rest_compat.notes_api import V1
from rest_compat.operations import get_operation, update_operation
from rest_compat.request import Call
from rest_compat.serializers import millis
from rest_compat.shapes import WorkspaceResponse


def serialize(row: Record) -> shapes.Workspace:
    settings = workspaces.read_settings(row)
    return {
        "id": row.id,
        "name": row.name,
        "createdAt": millis(row.created_at),
        "updatedAt": millis(row.updated_at),
        "settings": {
            "defaultLanguage": settings["default_language"],
            "brandColor": settings["brand_color"],
            "enableTranscriptSharing": settings["enable_transcript_sharing"],
        },
        "allowedEmailDomains": row.allowed_email_domains,
        "iconUrl": row.icon_url,
    }


async def get(call: Call) -> WorkspaceResponse:
    """Returns the caller's workspace."""
    return {"workspace": serialize(await workspaces.get_workspace(call.ctx))}


async def update(call: Call, body: WorkspaceChange) -> WorkspaceResponse:
    """Changes the fields and settings that are sent. Needs an admin. Null clears the icon."""
    return {"workspace": serialize(await workspaces.update_workspace(call.ctx, body))}


ROUTES = [V1.route("/workspace", GET=get_operation(get), PATCH=update_operation(update))]
