"""`/v1/notes/{id}` for who has seen it: If-None-Match and If-Match."""

from typing import Any

import httpx
import pytest

from tests.conftest import Tenant
from tests.rest.responses import NOTES, status_and_body, v1_error


@pytest.fixture
async def http(tenant: Tenant) -> httpx.AsyncClient:
    return (await tenant.key()).http


async def test_a_current_etag_answers_304(http: httpx.AsyncClient) -> None:
    created = await http.post(NOTES, json={"title": "Plain"})
    one, etag = f"{NOTES}/{created.json()['note']['id']}", created.headers["ETag"]
    assert etag.startswith('"1-')
    assert len(etag) == len('"1-0123456789abcdef"')
    response = await http.get(one)
    assert (response.headers["ETag"], response.content) == (etag, created.content)
    for if_none_match in (etag, f"W/{etag}", "*", f'"x", {etag}', f'"x",W/{etag} , "y"'):
        for method in ("GET", "HEAD"):
            same = await http.request(method, one, headers={"If-None-Match": if_none_match})
            assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", etag), if_none_match
            assert "Content-Type" not in same.headers
    for other in ('"1"', '"1-0000000000000000"', etag.strip('"'), "", "x", '"x", "y"'):
        again = await http.get(one, headers={"If-None-Match": other})
        assert (again.status_code, again.content) == (200, created.content), other
    changed = await http.patch(one, json={"title": "Changed"}, headers={"If-None-Match": "*"})
    assert (changed.status_code, changed.headers["ETag"][:3]) == (200, '"2-')
    stale = await http.get(one, headers={"If-None-Match": etag})
    assert (stale.status_code, stale.content, stale.headers["ETag"]) == (200, changed.content, changed.headers["ETag"])


async def test_a_renamed_tag_changes_the_etag_of_its_notes(http: httpx.AsyncClient) -> None:
    tag = (await http.post("/v1/workspace/tags", json={"name": "a", "color": "#000000"})).json()["tag"]["id"]
    created = await http.post(NOTES, json={"title": "Plain", "tagIds": [tag]})
    one, etag = f"{NOTES}/{created.json()['note']['id']}", created.headers["ETag"]
    await http.patch(f"/v1/workspace/tags/{tag}", json={"name": "b"})
    seen = await http.get(one, headers={"If-None-Match": etag})
    assert seen.status_code == 200
    assert seen.json()["note"] == {**created.json()["note"], "tags": [{"id": tag, "name": "b", "color": "#000000"}]}
    # Its revision is what counts for a change.
    assert (await http.patch(one, json={"title": "x"}, headers={"If-Match": etag})).status_code == 200


@pytest.mark.parametrize("if_match", ['"2"', "{etag}", "W/{etag}", 'W/"2"', '"2-0000000000000000"', "*"])
async def test_if_match_accepts_the_current_revision(http: httpx.AsyncClient, if_match: str) -> None:
    one, etag, note = await twice(http)
    changed = await http.patch(one, json={"title": "Third"}, headers={"If-Match": if_match.format(etag=etag)})
    now = {**note, "title": "Third", "revision": 3, "updatedAt": changed.json()["note"]["updatedAt"]}
    assert status_and_body(changed) == (200, {"note": now})


@pytest.mark.parametrize("if_match", ['"1"', '"3"', '"0"', 'W/"1"', '"1-0000000000000000"', f'"{10**18 - 1}"'])
async def test_if_match_refuses_another_revision(http: httpx.AsyncClient, if_match: str) -> None:
    one, _, note = await twice(http)
    refused = await http.patch(one, json={"title": "Third"}, headers={"If-Match": if_match})
    revision = int(if_match.removeprefix("W/").strip('"').partition("-")[0])
    message = f"The note is at revision 2, not {revision}."
    assert status_and_body(refused) == v1_error(409, "stale_revision", message)
    assert status_and_body(await http.get(one)) == (200, {"note": note})


@pytest.mark.parametrize("if_match", ["2", '"x"', '"2', '"2-xyz"', '"1", "2"', f'"{10**18}"', '""', '"-2"', 'w/"2"'])
async def test_if_match_refuses_what_is_no_revision(http: httpx.AsyncClient, if_match: str) -> None:
    one, _, note = await twice(http)
    refused = await http.patch(one, json={"title": "Third"}, headers={"If-Match": if_match})
    message = 'If-Match must be "<revision>" or *.'
    assert status_and_body(refused) == v1_error(400, "invalid_parameter", message, "If-Match")
    assert status_and_body(await http.get(one)) == (200, {"note": note})


async def twice(http: httpx.AsyncClient) -> tuple[str, str, dict[str, Any]]:
    """A note at revision 2: its path, its ETag and itself."""
    one = f"{NOTES}/{(await http.post(NOTES, json={'title': 'First'})).json()['note']['id']}"
    changed = await http.patch(one, json={"title": "Second"})
    return one, changed.headers["ETag"], changed.json()["note"]
