"""Requests for every method of every REST route, open for ids as the walked GraphQL operations are."""

import re
from collections.abc import Awaitable, Iterator
from typing import Any

import httpx
from starlette.routing import Mount, Route

import rest_compat
from models.base import new_id
from rest_compat.routing import Resource
from tests.support.clients import Caller
from tests.support.secrets import singular
from tests.support.walk import EMAIL, PHRASE, Hole, Operation


def an(kind: str) -> Hole:
    return Hole(kind, kind)


# What each route that writes is sent: one that is not here fails the test.
BODIES: dict[str, list[Any]] = {
    "POST /v1/notes": [
        {"title": PHRASE},
        {"title": PHRASE, "tagIds": [an("tag")]},
        {"title": PHRASE, "folderId": an("folder")},
    ],
    "PATCH /v1/notes/{id}": [
        {"title": PHRASE},
        {"tagIds": [an("tag")]},
        {"folderId": an("folder")},
        {"visibility": "private"},
    ],
    "PATCH /v1/workspace": [{"name": PHRASE}],
    "POST /v1/workspace/tags": [{"name": PHRASE, "color": "#00aa00"}],
    "PATCH /v1/workspace/tags/{id}": [{"color": "#00aa00"}],
    "POST /v1/folders": [{"name": PHRASE}, {"name": PHRASE, "parentFolderId": an("folder")}],
    "PATCH /v1/folders/{id}": [{"name": PHRASE}, {"parentFolderId": an("folder")}],
    "PATCH /v1/workspace/members/{id}": [{"role": "member"}, {"groupIds": [an("group")]}],
    "POST /v1/workspace/groups": [{"name": PHRASE}],
    "PATCH /v1/workspace/groups/{id}": [{"name": PHRASE}],
    **{
        f"POST {place}": [{"email": EMAIL}, {"isUrlInvite": True, "groupIds": [an("group")]}]
        for place in ("/v1/workspace/invites", "/v1/invites")
    },
    "POST /v1/workspace/invites/accept": [{"code": "ABCDEFGH"}],
    "POST /v1/invites/accept": [{"code": "ABCDEFGH"}],
    "POST /v1/notes/from-audio/generate-upload-url": [{"fileExtension": "wav", "duration": 3}],
    "POST /v1/notes/from-audio": [
        {"audioUrl": "https://zanzibar.example"},
        {"audioUrl": "https://zanzibar.example", "noteId": an("note")},
        {"audioUrl": "https://zanzibar.example", "tags": [an("tag")], "folderId": an("folder")},
    ],
    "PUT /v1/uploads/{id}": [None],
    "POST /v1/webhooks": [{"url": "https://zanzibar.example", "events": ["note.created"]}],
    "PATCH /v1/webhooks/{id}": [{"label": PHRASE}],
    "POST /v1/webhooks/{id}/test": [None],
    "POST /v1/webhooks/{id}/rotate-secret": [None],
    "POST /v1/webhooks/{id}/deliveries/{deliveryId}/redeliver": [None],
    "POST /v1/integrations/zapier/webhook": [{"hookUrl": "https://zanzibar.example"}],
    "DELETE /v1/integrations/zapier/webhook": [{"hookUrl": "https://zanzibar.example"}],
    "POST /api/v1/ai/conversations": [{"document_id": an("note")}],
    "PATCH /api/v1/ai/conversations/{id}": [{"title": PHRASE}],
    "POST /api/v1/ai/conversations/{id}/touch": [None],
    "POST /api/v1/ai/conversations/{id}/cancel": [None],
    "POST /api/v1/ai/conversations/{id}/stream": [{"message": PHRASE}, {"message": PHRASE, "document_id": an("note")}],
    "POST /api/v1/ai/suggestions": [
        {"conversation_id": an("conversation"), "document_id": an("note"), "suggested_text": PHRASE},
        {
            "conversation_id": an("conversation"),
            "document_id": an("note"),
            "message_id": an("message"),
            "suggested_text": PHRASE,
        },
    ],
    "PATCH /api/v1/ai/suggestions/{id}/status": [{"status": "applied"}],
    "POST /api/v1/ai/embeddings/index": [{"document_id": an("note"), "content": PHRASE}],
    "POST /api/v1/ai/embeddings/search": [{"document_id": an("note"), "query": PHRASE}],
}
QUERY: dict[str, Any] = {"search": PHRASE, "participantEmail": EMAIL, "createdBy": an("user"), "tagIds": an("tag")}
QUERY |= {"folderIds": an("folder")}
QUERY |= {f"{kind}_id": an(kind) for kind in ("conversation", "message")} | {"document_id": an("note")}
# What must stand in the query of a route that reads.
NEEDED: dict[str, dict[str, Any]] = {
    "PUT /v1/uploads/{id}": {"expires": "9999999999", "signature": "0" * 64},
    "GET /api/v1/ai/conversations": {"document_id": an("note")},
    "GET /api/v1/ai/conversations/{id}/stream": {"message_id": an("message")},
    "GET /api/v1/ai/suggestions": {"conversation_id": an("conversation")},
}
# Whose ids are in the path, where its words do not say it.
OWNERS = {"embeddings": "note", "uploads": "recording"}
OPEN = "GET /api/v1/ai/models"
SIGNED = "PUT /v1/uploads/{id}"
"""Whose address is the only credential."""


def requests() -> Iterator[Operation]:
    """Every method of every route with all that it may be sent."""
    for mount in rest_compat.routes():
        assert isinstance(mount, Mount)
        for route in mount.routes:
            assert isinstance(route, Route)
            if isinstance(route.endpoint, Resource) and route.endpoint.operations is not None:
                for method in route.endpoint.operations:
                    yield from requests_of(method, mount.path + route.path)


def requests_of(method: str, path: str) -> Iterator[Operation]:
    name = f"{method} {path}"
    assert method in {"GET", "DELETE"} or name in BODIES, f"add what {name} is to be sent"
    owners = re.findall(r"(\w+)/\{(\w+)\}", path)
    ids = {place: Hole(place, OWNERS.get(owner, singular(owner))) for owner, place in owners}
    for body in BODIES.get(name, [None]):
        given = {"path": ids, "params": NEEDED.get(name, {}), "json": body}
        yield Operation(method, path, name, given, None)
        yield Operation(method, path, name, {**given, "headers": {"If-Match": '"99"'}}, "If-Match")
        elsewhere = {"X-Workspace-Id": an("workspace")}
        nothing = {"path": {place: str(new_id()) for place in ids}, "json": None, "headers": elsewhere}
        yield Operation(method, path, name, nothing, "header")
    if method == "GET":
        needed = NEEDED.get(name, {})
        yield Operation("HEAD", path, name, {"path": ids, "params": needed}, None)
        for key, value in QUERY.items():
            given = {"path": ids, "params": {**needed, key: value}, "headers": {"Last-Event-ID": "1"}}
            yield Operation(method, path, name, given, "query")


def request_of(caller: Caller, operation: Operation, variables: dict[str, Any]) -> Awaitable[httpx.Response]:
    path = operation.field.format(**variables.pop("path"))
    return caller.http.request(operation.root, path, **variables)
