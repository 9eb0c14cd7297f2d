"""Requests for every method of every REST route, with holes for ids, as the GraphQL operations of `walk` have."""

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


def hole_for(kind: str) -> Hole:
    return Hole(kind, kind)


# The bodies of each route that writes. A route that is missing here fails the test.
BODIES: dict[str, list[Any]] = {
    "POST /v1/notes": [
        {"title": PHRASE},
        {"title": PHRASE, "tagIds": [hole_for("tag")]},
        {"title": PHRASE, "folderId": hole_for("folder")},
    ],
    "PATCH /v1/notes/{id}": [
        {"title": PHRASE},
        {"tagIds": [hole_for("tag")]},
        {"folderId": hole_for("folder")},
        {"visibility": "private"},
    ],
    "PATCH /v1/workspace": [{"name": PHRASE}],
    "POST /v1/workspace/tags": [{"name": PHRASE, "color": "#00aa00"}],
    "PATCH /v1/workspace/tags/{id}": [{"color": "#00aa00"}],
    "POST /v1/folders": [{"name": PHRASE}, {"name": PHRASE, "parentFolderId": hole_for("folder")}],
    "PATCH /v1/folders/{id}": [{"name": PHRASE}, {"parentFolderId": hole_for("folder")}],
    "PATCH /v1/workspace/members/{id}": [{"role": "member"}, {"groupIds": [hole_for("group")]}],
    "POST /v1/workspace/groups": [{"name": PHRASE}],
    "PATCH /v1/workspace/groups/{id}": [{"name": PHRASE}],
    **{
        f"POST {path}": [{"email": EMAIL}, {"isUrlInvite": True, "groupIds": [hole_for("group")]}]
        for path in ("/v1/workspace/invites", "/v1/invites")
    },
    "POST /v1/workspace/invites/accept": [{"code": "ABCDEFGH"}],
    "POST /v1/invites/accept": [{"code": "ABCDEFGH"}],
    "POST /v1/notes/from-audio/generate-upload-url": [{"fileExtension": "wav", "duration": 3}],
    "POST /v1/notes/from-audio": [
        {"audioUrl": "https://zanzibar.example"},
        {"audioUrl": "https://zanzibar.example", "noteId": hole_for("note")},
        {"audioUrl": "https://zanzibar.example", "tags": [hole_for("tag")], "folderId": hole_for("folder")},
    ],
    "PUT /v1/uploads/{id}": [None],
    "POST /v1/webhooks": [{"url": "https://zanzibar.example", "events": ["note.created"]}],
    "PATCH /v1/webhooks/{id}": [{"label": PHRASE}],
    "POST /v1/webhooks/{id}/test": [None],
    "POST /v1/webhooks/{id}/rotate-secret": [None],
    "POST /v1/webhooks/{id}/deliveries/{deliveryId}/redeliver": [None],
    "POST /v1/integrations/zapier/webhook": [{"hookUrl": "https://zanzibar.example"}],
    "DELETE /v1/integrations/zapier/webhook": [{"hookUrl": "https://zanzibar.example"}],
    "POST /api/v1/ai/conversations": [{"document_id": hole_for("note")}],
    "PATCH /api/v1/ai/conversations/{id}": [{"title": PHRASE}],
    "POST /api/v1/ai/conversations/{id}/touch": [None],
    "POST /api/v1/ai/conversations/{id}/cancel": [None],
    "POST /api/v1/ai/conversations/{id}/stream": [
        {"message": PHRASE},
        {"message": PHRASE, "document_id": hole_for("note")},
    ],
    "POST /api/v1/ai/suggestions": [
        {"conversation_id": hole_for("conversation"), "document_id": hole_for("note"), "suggested_text": PHRASE},
        {
            "conversation_id": hole_for("conversation"),
            "document_id": hole_for("note"),
            "message_id": hole_for("message"),
            "suggested_text": PHRASE,
        },
    ],
    "PATCH /api/v1/ai/suggestions/{id}/status": [{"status": "applied"}],
    "POST /api/v1/ai/embeddings/index": [{"document_id": hole_for("note"), "content": PHRASE}],
    "POST /api/v1/ai/embeddings/search": [{"document_id": hole_for("note"), "query": PHRASE}],
}
QUERY: dict[str, Any] = {
    "search": PHRASE,
    "participantEmail": EMAIL,
    "createdBy": hole_for("user"),
    "tagIds": hole_for("tag"),
}
QUERY |= {"folderIds": hole_for("folder")}
QUERY |= {f"{kind}_id": hole_for(kind) for kind in ("conversation", "message")} | {"document_id": hole_for("note")}
# The required query parameters of a route.
NEEDED: dict[str, dict[str, Any]] = {
    "PUT /v1/uploads/{id}": {"expires": "9999999999", "signature": "0" * 64},
    "GET /api/v1/ai/conversations": {"document_id": hole_for("note")},
    "GET /api/v1/ai/conversations/{id}/stream": {"message_id": hole_for("message")},
    "GET /api/v1/ai/suggestions": {"conversation_id": hole_for("conversation")},
}
# The kind of the ids in a path, where its words do not say it.
OWNERS = {"embeddings": "note", "uploads": "recording"}
OPEN = "GET /api/v1/ai/models"
SIGNED = "PUT /v1/uploads/{id}"
"""The route whose address is its only credential."""


def requests() -> Iterator[Operation]:
    """Requests for every method of every route, with each of its bodies and parameters."""
    for mount in rest_compat.routes():
        assert isinstance(mount, Mount)
        for route in mount.routes:
            assert isinstance(route, Route)
            if isinstance(route.endpoint, Resource) and route.endpoint.operations is not None:
                for method in route.endpoint.operations:
                    yield from requests_of(method, mount.path + route.path)


def requests_of(method: str, path: str) -> Iterator[Operation]:
    name = f"{method} {path}"
    assert method in {"GET", "DELETE"} or name in BODIES, f"add the bodies of {name}"
    owners = re.findall(r"(\w+)/\{(\w+)\}", path)
    ids = {parameter: Hole(parameter, OWNERS.get(owner, singular(owner))) for owner, parameter in owners}
    for body in BODIES.get(name, [None]):
        request = {"path": ids, "params": NEEDED.get(name, {}), "json": body}
        yield Operation(method, path, name, request, None)
        yield Operation(method, path, name, {**request, "headers": {"If-Match": '"99"'}}, "If-Match")
        elsewhere = {"X-Workspace-Id": hole_for("workspace")}
        nothing = {"path": {parameter: str(new_id()) for parameter in ids}, "json": None, "headers": elsewhere}
        yield Operation(method, path, name, nothing, "header")
    if method == "GET":
        needed = NEEDED.get(name, {})
        yield Operation("HEAD", path, name, {"path": ids, "params": needed}, None)
        for key, value in QUERY.items():
            request = {"path": ids, "params": {**needed, key: value}, "headers": {"Last-Event-ID": "1"}}
            yield Operation(method, path, name, request, "query")


def request_of(caller: Caller, operation: Operation, variables: dict[str, Any]) -> Awaitable[httpx.Response]:
    path = operation.field.format(**variables.pop("path"))
    return caller.http.request(operation.root, path, **variables)
