"""REST EDGE. The documented endpoints on the same resolvers as GraphQL."""

from starlette.routing import BaseRoute, Mount

from rest_compat import conversations, notes, search, workspaces
from rest_compat.ai_api import AI
from rest_compat.notes_api import V1


def routes() -> list[BaseRoute]:
    """All of `/v1` and `/api/v1/ai`, unknown paths too. They need `request.state.context`, the process's Context."""
    return [
        Mount("/v1", routes=[*notes.ROUTES, *workspaces.ROUTES, V1.nothing_else()]),
        Mount("/api/v1/ai", routes=[*conversations.ROUTES, *search.ROUTES, AI.nothing_else()]),
    ]
