"""`/v1/notes` one by one on a running server, and the paths around them, every answer compared whole."""

from typing import Any

import httpx
import pytest

from models.base import new_id
from tests.conftest import Tenant
from tests.rest.responses import (
    EMPTY,
    NEVER,
    NOTES,
    invalid_parameter,
    ordered,
    status_and_body,
    v1_error,
    without_server_fields,
)


@pytest.fixture
async def http(tenant: Tenant) -> httpx.AsyncClient:
    return (await tenant.key()).http


async def test_a_note_is_created_read_changed_and_deleted(http: httpx.AsyncClient) -> None:
    created = await http.post(NOTES, json={"title": "Plain"})
    note = created.json()["note"]
    assert (created.status_code, list(created.json()), without_server_fields(note)) == (201, ["note"], EMPTY)
    assert note["createdAt"] == note["updatedAt"]
    one = f"{NOTES}/{note['id']}"
    assert status_and_body(await http.get(one)) == (200, {"note": note})
    assert status_and_body(await http.patch(one, json={})) == (200, {"note": note})
    changed = await http.patch(one, json={"title": "Changed", "visibility": "public", "inputLanguage": "de"})
    now = {**note, "title": "Changed", "visibility": "shared", "inputLanguage": "de", "revision": 2}
    assert status_and_body(changed) == (200, {"note": {**now, "updatedAt": changed.json()["note"]["updatedAt"]}})
    assert changed.json()["note"]["updatedAt"] >= note["updatedAt"]
    assert status_and_body(await http.get(one)) == status_and_body(changed)
    assert status_and_body(await http.delete(one)) == (200, {"success": True, "message": "Note deleted"})
    missing = v1_error(404, "resource_not_found", f"Note {note['id']} not found.")
    for deleted in (await http.get(one), await http.patch(one, json={"title": "x"}), await http.delete(one)):
        assert status_and_body(deleted) == missing


@pytest.mark.parametrize(
    ("body", "param", "text"),
    [
        ({}, "title", "This field is required."),
        ({"title": ""}, "title", "The length must be at least 1."),
        ({"title": "x" * 501}, "title", "String should have at most 500 characters."),
        ({"title": 5}, "title", "Input should be a valid string."),
        ({"title": "x\x00"}, "title", "Must not contain NUL characters."),
        ({"title": "x", "colour": 1}, "colour", "This field is unknown."),
        ({"title": "x", "summary": "y" * 500_001}, "summary", "String should have at most 500000 characters."),
        ({"title": "x", "totalDurationSec": -1}, "totalDurationSec", "Input should be greater than or equal to 0."),
        ({"title": "x", "totalDurationSec": "5"}, "totalDurationSec", "Input should be a valid number."),
        ({"title": "x", "visibility": "all"}, "visibility", "Input should be 'private', 'workspace' or 'shared'."),
        ({"title": "x", "tagIds": NEVER}, "tagIds", "Input should be a valid array."),
        ({"title": "x", "tagIds": [NEVER] * 101}, "tagIds", "The length must be at most 100."),
        (
            {"title": "x", "participants": [{"name": "Ann", "email": "ann"}]},
            "participants.0.email",
            "This has the wrong form.",
        ),
        (
            {
                "title": "x",
                "transcripts": [{"speaker": "A", "text": "", "startTimestamp": "1", "endTimestamp": "00:00:00"}],
            },
            "transcripts.0.startTimestamp",
            "This has the wrong form.",
        ),
    ],
)
async def test_invalid_notes_are_refused(http: httpx.AsyncClient, body: dict[str, Any], param: str, text: str) -> None:
    assert status_and_body(await http.post(NOTES, json=body)) == invalid_parameter(param, text)


async def test_a_note_with_values_at_their_limits_is_accepted(http: httpx.AsyncClient) -> None:
    body = {"title": "ü" * 500, "summary": "y" * 500_000, "totalDurationSec": 10_000_000, "tagIds": []}
    created = await http.post(NOTES, json=body)
    response = {**EMPTY, **body, "tags": []}
    del response["tagIds"]
    assert (created.status_code, without_server_fields(created.json()["note"])) == (201, response)


@pytest.mark.parametrize("name", ["only-me", "private"])
async def test_older_names_of_visibilities_are_accepted(http: httpx.AsyncClient, name: str) -> None:
    created = await http.post(NOTES, json={"title": "Plain", "visibility": name})
    assert without_server_fields(created.json()["note"]) == {**EMPTY, "visibility": "private"}


@pytest.mark.parametrize("name", ["title", "visibility", "tagIds", "summary"])
async def test_null_is_refused_for_required_fields(http: httpx.AsyncClient, name: str) -> None:
    one = (await http.post(NOTES, json={"title": "Plain"})).json()["note"]["id"]
    status, body = status_and_body(await http.patch(f"{NOTES}/{one}", json={name: None}))
    assert (status, body) == v1_error(400, "invalid_parameter", body["message"], name, body["errors"])
    assert list(body["errors"]) == [name]


async def test_an_unknown_tag_is_refused(http: httpx.AsyncClient) -> None:
    refused = v1_error(422, "unprocessable", f"Unknown tag {NEVER}.", "tagIds")
    assert status_and_body(await http.post(NOTES, json={"title": "x", "tagIds": [NEVER]})) == refused
    one = (await http.post(NOTES, json={"title": "Plain"})).json()["note"]
    assert status_and_body(await http.patch(f"{NOTES}/{one['id']}", json={"tagIds": [NEVER], "title": "y"})) == refused
    assert status_and_body(await http.get(f"{NOTES}/{one['id']}")) == (200, {"note": one})


async def test_a_repeated_create_returns_the_first_note(http: httpx.AsyncClient) -> None:
    once = {"Idempotency-Key": str(new_id())}
    first = await http.post(NOTES, headers=once, json={"title": "Plain"})
    assert status_and_body(await http.post(NOTES, headers=once, json={"title": "Plain"})) == status_and_body(first)
    other = await http.post(NOTES, headers=once, json={"title": "Other"})
    message = "This idempotency key was used for another request before."
    assert status_and_body(other) == v1_error(422, "unprocessable", message, "Idempotency-Key")
    long = await http.post(NOTES, headers={"Idempotency-Key": "x" * 256}, json={"title": "Plain"})
    message = "An idempotency key has 1 to 255 characters."
    assert status_and_body(long) == v1_error(400, "invalid_parameter", message, "Idempotency-Key")
    assert ordered(await http.get(NOTES)) == ["Plain"]


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("note_id", ["x", NEVER, "5", "%00"])
async def test_an_unknown_id_is_not_found(http: httpx.AsyncClient, method: str, note_id: str) -> None:
    body = {"title": "x"} if method == "PATCH" else None
    status, answer = status_and_body(await http.request(method, f"{NOTES}/{note_id}", json=body))
    echoed_id = note_id.replace("%00", "\x00")
    assert (status, answer) == v1_error(404, "resource_not_found", f"Note {echoed_id} not found.")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", NOTES, "GET, POST, HEAD"),
        ("DELETE", NOTES, "GET, POST, HEAD"),
        ("POST", f"{NOTES}/{NEVER}", "GET, PATCH, DELETE, HEAD"),
        ("PATCH", "/v1/me", "GET, HEAD"),
        ("OPTIONS", "/v1/me", "GET, HEAD"),
    ],
)
async def test_an_unknown_method_is_not_allowed(http: httpx.AsyncClient, method: str, path: str, allowed: str) -> None:
    answer = await http.request(method, path)
    assert status_and_body(answer) == v1_error(405, "method_not_allowed", "Method Not Allowed")
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v1/notes/x/y", "/v1/Notes", "/v1/notes/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_unknown_path_is_not_found(http: httpx.AsyncClient, method: str, path: str) -> None:
    assert status_and_body(await http.request(method, path)) == v1_error(404, "resource_not_found", "Not Found")


async def test_head_is_get_without_the_body(http: httpx.AsyncClient) -> None:
    got, head = await http.get("/v1/me"), await http.head("/v1/me")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(got.content))


async def test_bodies_other_than_json_are_refused(http: httpx.AsyncClient) -> None:
    one = f"{NOTES}/{(await http.post(NOTES, json={'title': 'Plain'})).json()['note']['id']}"
    for method, path in (("POST", NOTES), ("PATCH", one)):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
            sent = await http.request(method, path, content=b'{"title":"x"}', headers={"Content-Type": kind})
            assert status_and_body(sent) == v1_error(
                415, "unsupported_media_type", "The body must be application/json."
            )
        empty = await http.request(method, path)
        assert status_and_body(empty) == (400, v1_error(400, "invalid_parameter", "A JSON body is required.")[1])
        broken = await http.request(method, path, content=b'{"title":', headers={"Content-Type": "application/json"})
        status, body = status_and_body(broken)
        assert (status, body) == v1_error(400, "invalid_parameter", body["message"])
        assert body["message"].startswith("The body is not valid JSON: ")
        big = await http.request(method, path, content=b" " * (4 * 1024 * 1024 + 1))
        message = "The request body is larger than 4194304 bytes."
        assert status_and_body(big) == v1_error(413, "payload_too_large", message)


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON", None])
async def test_every_spelling_of_the_json_media_type_is_accepted(http: httpx.AsyncClient, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    created = await http.post(NOTES, content=b'{"title":"Plain"}', headers=headers)
    assert (created.status_code, without_server_fields(created.json()["note"])) == (201, EMPTY)


async def test_a_content_type_without_a_body_is_ignored(http: httpx.AsyncClient) -> None:
    one = f"{NOTES}/{(await http.post(NOTES, json={'title': 'Plain'})).json()['note']['id']}"
    for kind in ("application/json", "text/plain"):
        assert (await http.get(one, headers={"Content-Type": kind})).status_code == 200
    assert (await http.delete(one, headers={"Content-Type": "application/json"})).status_code == 200
