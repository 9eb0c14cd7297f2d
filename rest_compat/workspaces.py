"""`/v1/me`: who asks, from which workspace, and what they may do there."""

from starlette.responses import Response

from resolvers import access, workspaces
from rest_compat import present
from rest_compat.call import Call, reply
from rest_compat.notes_api import V1


async def me(call: Call) -> Response:
    viewer = call.ctx.me
    workspace = await workspaces.get(call.ctx)
    identities = await (workspaces.api_keys if viewer.api_key_id else workspaces.users)(call.ctx, [viewer.actor_id])
    shown = present.identity(identities[viewer.actor_id], is_key=viewer.api_key_id is not None)
    scopes = sorted(access.SCOPES if viewer.scopes is None else viewer.scopes)
    place = {"id": workspace.id, "name": workspace.name}
    return reply({**shown, "role": viewer.role, "workspace": place, "plan": workspace.plan, "scopes": scopes})


ROUTES = [V1.route("/me", GET=me)]
