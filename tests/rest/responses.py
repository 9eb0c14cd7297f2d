"""Responses of `/v1`, for tests that compare them in full."""

import uuid
from typing import Any

import httpx

from tests.support.note_defaults import JSON_DEFAULTS

NOTES = "/v1/notes"
NEVER = "01890000-0000-7000-8000-000000000000"
SERVER_FIELDS = {"id", "createdAt", "updatedAt"}
EMPTY: dict[str, Any] = {
    **JSON_DEFAULTS,
    "title": "Plain",
    "kind": "online",
    "status": "idle",
    "visibility": "workspace",
    "tags": [],
    "participants": [],
    "totalDurationSec": 0,
    "userWrittenNote": "",
    "enhancedNote": "",
    "summary": "",
    "transcripts": [],
    "calendarEvent": None,
    "inputLanguage": None,
    "translationLanguage": None,
    "meetingApp": None,
    "revision": 1,
}
TYPES = {
    400: "validation_error",
    401: "authentication_error",
    403: "permission_error",
    404: "resource_error",
    409: "conflict_error",
    422: "validation_error",
}


def v1_error(status: int, code: str, message: str, param: str | None = None, errors: Any = None) -> tuple[int, Any]:
    """The status and the body of an error. `errors` is given where it differs from the message."""
    content = {"code": code, "message": message, "type": TYPES.get(status, "invalid_request_error")}
    if param is None:
        return status, {"error": content, "message": message, "code": code}
    body = {"error": {**content, "param": param}, "message": message, "code": code}
    return status, {**body, "errors": errors or {param: message.removeprefix(f"{param}: ")}}


def invalid_parameter(param: str, text: str) -> tuple[int, Any]:
    return v1_error(400, "invalid_parameter", f"{param}: {text}", param)


def status_and_body(response: httpx.Response) -> tuple[int, Any]:
    return response.status_code, response.json()


def without_server_fields(note: dict[str, Any]) -> dict[str, Any]:
    """A note without the fields that the server sets."""
    assert str(uuid.UUID(note["id"])) == note["id"]
    assert note["createdAt"] <= note["updatedAt"]
    return {name: value for name, value in note.items() if name not in SERVER_FIELDS}


def ordered(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["title"] for item in answer.json()["items"]]
