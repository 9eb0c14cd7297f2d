"""The REST edge: `/v1` and `/api/v1/ai` on the same resolvers as GraphQL, one file per noun.

`routing`, `operations`, `request` and `errors` are what the endpoints have in common, `notes_api` and `ai_api` the
conventions of the two families, `shapes`, `ai_shapes` and `serializers` the responses. `openapi` describes it all.
"""

from starlette.routing import BaseRoute

from rest_compat import (
    conversations,
    folders,
    groups,
    invites,
    me,
    members,
    notes,
    recordings,
    search,
    suggestions,
    tags,
    webhooks,
    workspace,
)
from rest_compat.ai_api import AI
from rest_compat.notes_api import V1
from rest_compat.recordings import is_upload
from rest_compat.routing import mount

__all__ = ["is_upload", "routes"]


def routes() -> list[BaseRoute]:
    """The routes of `/v1` and `/api/v1/ai`, unknown paths included.

    They read the process's Context from `request.state.context`, and its Connections from `request.state.connections`.
    """
    return [
        mount(
            "/v1",
            [
                # Before the notes, whose `{id}` would match these paths.
                *recordings.ROUTES,
                *notes.ROUTES,
                *me.ROUTES,
                *workspace.ROUTES,
                *tags.ROUTES,
                *folders.ROUTES,
                *members.ROUTES,
                *groups.ROUTES,
                *invites.ROUTES,
                *webhooks.ROUTES,
                V1.not_found_route(),
            ],
        ),
        mount("/api/v1/ai", [*conversations.ROUTES, *suggestions.ROUTES, *search.ROUTES, AI.not_found_route()]),
    ]
