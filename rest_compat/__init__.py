"""REST EDGE. The documented endpoints on the same resolvers as GraphQL."""

from starlette.routing import BaseRoute, Mount

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

__all__ = ["is_upload", "routes"]


def routes() -> list[BaseRoute]:
    """All of `/v1` and `/api/v1/ai`, unknown paths too. They need `request.state.context`, the process's Context."""
    return [
        Mount(
            "/v1",
            routes=[
                # Before the notes: their `{id}` would match these paths.
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
                V1.nothing_else(),
            ],
        ),
        Mount("/api/v1/ai", routes=[*conversations.ROUTES, *suggestions.ROUTES, *search.ROUTES, AI.nothing_else()]),
    ]
