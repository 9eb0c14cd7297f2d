"""`/v1/me`: the caller, their workspace and their rights."""

from resolvers.auth import access
from resolvers.workspaces import api_keys, workspaces
from rest_compat import serializers, shapes
from rest_compat.notes_api import V1
from rest_compat.operations import list_operation
from rest_compat.request import Call


async def me(call: Call) -> shapes.Me:
    """Returns the caller, their workspace and their rights there."""
    viewer = call.ctx.viewer
    workspace = await workspaces.get_workspace(call.ctx)
    own_key = await api_keys.find_acting_api_keys(call.ctx, [viewer.api_key_id] if viewer.api_key_id else [])
    users = await workspaces.find_users(call.ctx, [] if viewer.api_key_id else [viewer.user_id])
    scopes = sorted(access.SCOPES if viewer.scopes is None else viewer.scopes)
    return {
        "apiKey": next(map(serializers.key, own_key.values()), None),
        "user": next(map(serializers.user, users.values()), None),
        "role": viewer.role,
        "workspace": {"id": workspace.id, "name": workspace.name},
        "plan": workspace.plan,
        "scopes": scopes,
    }


ROUTES = [V1.route("/me", GET=list_operation(me))]
