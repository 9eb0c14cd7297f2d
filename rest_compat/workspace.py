"""`/v1/workspace`: the caller's workspace itself."""

from models.base import Record
from models.settings import WorkspaceChange
from resolvers.workspaces import workspaces
from rest_compat import shapes
from rest_compat.notes_api import V1
from rest_compat.operations import changes, shows
from rest_compat.request import Call
from rest_compat.serializers import millis
from rest_compat.shapes import OneWorkspace


def shown(row: Record) -> shapes.Workspace:
    settings = workspaces.settings(row)
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


async def get(call: Call) -> OneWorkspace:
    """The caller's workspace."""
    return {"workspace": shown(await workspaces.get(call.ctx))}


async def update(call: Call, body: WorkspaceChange) -> OneWorkspace:
    """Changes what is sent of the workspace and of its settings, for its admins; null clears the icon."""
    return {"workspace": shown(await workspaces.update(call.ctx, body))}


ROUTES = [V1.route("/workspace", GET=shows(get), PATCH=changes(update))]
