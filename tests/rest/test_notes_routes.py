"""`/v1/notes` one by one on a running server, and the paths around them, every answer compared whole."""

from typing import Any

import httpx
import pytest

from models.base import new_id
from tests.conftest import Tenant
from tests.rest.told import EMPTY, NEVER, NOTES, invalid, ordered, plain, refusal, told


@pytest.fixture
async def http(tenant: Tenant) -> httpx.AsyncClient:
    return (await tenant.key()).http


async def test_a_note_from_beginning_to_end(http: httpx.AsyncClient) -> None:
    made = await http.post(NOTES, json={"title": "Plain"})
    note = made.json()["note"]
    assert (made.status_code, list(made.json()), plain(note)) == (201, ["note"], EMPTY)
    assert note["createdAt"] == note["updatedAt"]
    one = f"{NOTES}/{note['id']}"
    assert told(await http.get(one)) == (200, {"note": note})
    assert told(await http.patch(one, json={})) == (200, {"note": note})
    changed = await http.patch(one, json={"title": "Changed", "visibility": "public", "inputLanguage": "de"})
    now = {**note, "title": "Changed", "visibility": "shared", "inputLanguage": "de", "revision": 2}
    assert told(changed) == (200, {"note": {**now, "updatedAt": changed.json()["note"]["updatedAt"]}})
    assert changed.json()["note"]["updatedAt"] >= note["updatedAt"]
    assert told(await http.get(one)) == told(changed)
    assert told(await http.delete(one)) == (200, {"success": True, "message": "Note deleted"})
    missing = refusal(404, "resource_not_found", f"Note {note['id']} not found.")
    for gone in (await http.get(one), await http.patch(one, json={"title": "x"}), await http.delete(one)):
        assert told(gone) == missing


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
async def test_what_a_note_can_not_be(http: httpx.AsyncClient, body: dict[str, Any], param: str, text: str) -> None:
    assert told(await http.post(NOTES, json=body)) == invalid(param, text)


async def test_a_note_at_its_bounds(http: httpx.AsyncClient) -> None:
    body = {"title": "ü" * 500, "summary": "y" * 500_000, "totalDurationSec": 10_000_000, "tagIds": []}
    made = await http.post(NOTES, json=body)
    shown = {**EMPTY, **body, "tags": []}
    del shown["tagIds"]
    assert (made.status_code, plain(made.json()["note"])) == (201, shown)


@pytest.mark.parametrize("said", ["only-me", "private"])
async def test_two_words_for_one_visibility(http: httpx.AsyncClient, said: str) -> None:
    made = await http.post(NOTES, json={"title": "Plain", "visibility": said})
    assert plain(made.json()["note"]) == {**EMPTY, "visibility": "private"}


@pytest.mark.parametrize("name", ["title", "visibility", "tagIds", "summary"])
async def test_what_can_not_be_taken_away(http: httpx.AsyncClient, name: str) -> None:
    one = (await http.post(NOTES, json={"title": "Plain"})).json()["note"]["id"]
    status, body = told(await http.patch(f"{NOTES}/{one}", json={name: None}))
    assert (status, body) == refusal(400, "invalid_parameter", body["message"], name, body["errors"])
    assert list(body["errors"]) == [name]


async def test_a_tag_that_is_not_there(http: httpx.AsyncClient) -> None:
    refused = refusal(422, "unprocessable", f"Unknown tag {NEVER}.", "tagIds")
    assert told(await http.post(NOTES, json={"title": "x", "tagIds": [NEVER]})) == refused
    one = (await http.post(NOTES, json={"title": "Plain"})).json()["note"]
    assert told(await http.patch(f"{NOTES}/{one['id']}", json={"tagIds": [NEVER], "title": "y"})) == refused
    assert told(await http.get(f"{NOTES}/{one['id']}")) == (200, {"note": one})


async def test_a_create_that_is_repeated(http: httpx.AsyncClient) -> None:
    once = {"Idempotency-Key": str(new_id())}
    first = await http.post(NOTES, headers=once, json={"title": "Plain"})
    assert told(await http.post(NOTES, headers=once, json={"title": "Plain"})) == told(first)
    other = await http.post(NOTES, headers=once, json={"title": "Other"})
    message = "This idempotency key was used for another request before."
    assert told(other) == refusal(422, "unprocessable", message, "Idempotency-Key")
    long = await http.post(NOTES, headers={"Idempotency-Key": "x" * 256}, json={"title": "Plain"})
    message = "An idempotency key has 1 to 255 characters."
    assert told(long) == refusal(400, "invalid_parameter", message, "Idempotency-Key")
    assert ordered(await http.get(NOTES)) == ["Plain"]


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("ident", ["x", NEVER, "5", "%00"])
async def test_an_id_of_nothing(http: httpx.AsyncClient, method: str, ident: str) -> None:
    body = {"title": "x"} if method == "PATCH" else None
    status, answer = told(await http.request(method, f"{NOTES}/{ident}", json=body))
    shown = ident.replace("%00", "\x00")
    assert (status, answer) == refusal(404, "resource_not_found", f"Note {shown} not found.")


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
async def test_a_method_that_is_not_there(http: httpx.AsyncClient, method: str, path: str, allowed: str) -> None:
    answer = await http.request(method, path)
    assert told(answer) == refusal(405, "method_not_allowed", "Method Not Allowed")
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v1/notes/x/y", "/v1/Notes", "/v1/notes/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_path_that_is_not_there(http: httpx.AsyncClient, method: str, path: str) -> None:
    assert told(await http.request(method, path)) == refusal(404, "resource_not_found", "Not Found")


async def test_head_is_get_without_the_body(http: httpx.AsyncClient) -> None:
    got, head = await http.get("/v1/me"), await http.head("/v1/me")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(got.content))


async def test_bodies_that_are_none_of_json(http: httpx.AsyncClient) -> None:
    one = f"{NOTES}/{(await http.post(NOTES, json={'title': 'Plain'})).json()['note']['id']}"
    for method, path in (("POST", NOTES), ("PATCH", one)):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
            sent = await http.request(method, path, content=b'{"title":"x"}', headers={"Content-Type": kind})
            assert told(sent) == refusal(415, "unsupported_media_type", "The body must be application/json.")
        empty = await http.request(method, path)
        assert told(empty) == (400, refusal(400, "invalid_parameter", "A JSON body is required.")[1])
        broken = await http.request(method, path, content=b'{"title":', headers={"Content-Type": "application/json"})
        status, body = told(broken)
        assert (status, body) == refusal(400, "invalid_parameter", body["message"])
        assert body["message"].startswith("The body is not valid JSON: ")
        big = await http.request(method, path, content=b" " * (4 * 1024 * 1024 + 1))
        message = "The request body is larger than 4194304 bytes."
        assert told(big) == refusal(413, "payload_too_large", message)


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON", None])
async def test_json_however_it_is_called(http: httpx.AsyncClient, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    made = await http.post(NOTES, content=b'{"title":"Plain"}', headers=headers)
    assert (made.status_code, plain(made.json()["note"])) == (201, EMPTY)


async def test_a_content_type_without_a_body(http: httpx.AsyncClient) -> None:
    one = f"{NOTES}/{(await http.post(NOTES, json={'title': 'Plain'})).json()['note']['id']}"
    for kind in ("application/json", "text/plain"):
        assert (await http.get(one, headers={"Content-Type": kind})).status_code == 200
    assert (await http.delete(one, headers={"Content-Type": "application/json"})).status_code == 200
