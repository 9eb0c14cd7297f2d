"""`GET /v1/notes` on a running server: each parameter, at its bounds and beyond them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from models import Role
from tests.conftest import make_tenant
from tests.rest.responses import NEVER, NOTES, invalid_parameter, ordered, status_and_body, v1_error
from tests.support.servers import RunningServer


@dataclass
class Shelf:
    """A workspace with five notes, a minute apart: A (the oldest) to E."""

    http: httpx.AsyncClient
    tag: str
    folder: str
    author: str
    notes: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
async def shelf(server: RunningServer, database: AsyncEngine) -> AsyncIterator[Shelf]:
    tenant = await make_tenant(server, database)
    person = await tenant.user(Role.ADMIN)
    http = person.http
    tag = (await http.post("/v1/workspace/tags", json={"name": "t", "color": "#00aa00"})).json()["tag"]["id"]
    folder = (await http.post("/v1/folders", json={"name": "f"})).json()["folder"]["id"]
    special: dict[str, dict[str, Any]] = {
        "A": {"kind": "podcast", "tagIds": [tag], "participants": [{"name": "Ann", "email": "Ann@Example.com"}]},
        "B": {"status": "recording", "folderId": folder},
        "C": {"summary": "About elephants.", "visibility": "private"},
        "D": {},
        "E": {},
    }
    notes = {}
    for minute, (title, more) in enumerate(special.items()):
        created = await http.post(NOTES, json={"title": title, **more})
        note_id = created.json()["note"]["id"]
        async with database.begin() as connection:
            moment = f"2026-01-31T10:0{minute}:00.123456Z"
            await connection.execute(text(f"UPDATE notes SET created_at = '{moment}' WHERE id = '{note_id}'"))
        notes[title] = (await http.get(f"{NOTES}/{note_id}")).json()["note"]
    yield Shelf(http, tag, folder, str(person.user_id), notes)
    for caller in tenant.callers:
        await caller.close()


async def test_a_page_has_its_items_and_its_pagination(shelf: Shelf) -> None:
    first = await shelf.http.get(NOTES, params={"limit": 2})
    paging = {"limit": 2, "nextOffset": 2, "isLast": False}
    assert status_and_body(first) == (200, {"items": [shelf.notes["E"], shelf.notes["D"]], "pagination": paging})
    last = await shelf.http.get(NOTES, params={"limit": 2, "offset": 4})
    paging = {"limit": 2, "nextOffset": 5, "isLast": True}
    assert status_and_body(last) == (200, {"items": [shelf.notes["A"]], "pagination": paging})
    beyond = await shelf.http.get(NOTES, params={"offset": 2**63 - 1})
    paging = {"limit": 20, "nextOffset": 2**63 - 1, "isLast": True}
    assert status_and_body(beyond) == (200, {"items": [], "pagination": paging})


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("", "EDCBA"),
        ("limit=1", "E"),
        ("limit=100", "EDCBA"),
        ("limit=2&limit=3", "EDC"),
        ("offset=0&limit=5", "EDCBA"),
        ("sortOrder=asc", "ABCDE"),
        ("sortBy=title&sortOrder=asc", "ABCDE"),
        ("sortBy=title&sortOrder=desc", "EDCBA"),
        ("sortBy=createdAt&sortOrder=desc", "EDCBA"),
        ("sortBy=updatedAt&sortOrder=asc", "ABCDE"),
        ("status=recording", "B"),
        ("status=summarizing", ""),
        ("kind=podcast", "A"),
        ("kind=online", "EDCB"),
        ("search=elephants", "C"),
        ("search=whales", ""),
        ("search=", "EDCBA"),
        ("createdBy={author}", "EDCBA"),
        ("createdBy=" + NEVER, ""),
        ("tagIds={tag}", "A"),
        ("tagIds=%20{tag}%20,," + NEVER, "A"),
        ("tagIds=" + NEVER, ""),
        ("tagIds=", "EDCBA"),
        ("folderIds={folder}", "B"),
        ("folderIds={folder}," + NEVER, "B"),
        ("folderIds=" + NEVER, ""),
        ("participantEmail=aNN%40example.COM", "A"),
        ("participantEmail=bob%40example.com", ""),
        ("fromDate=2026-01-31", "EDCBA"),
        ("fromDate=2026-02-01", ""),
        ("toDate=2026-01-31", "EDCBA"),
        ("toDate=2026-01-30", ""),
        # Both bounds are included, to the millisecond that is shown.
        ("fromDate=2026-01-31T10:02:00.123Z", "EDC"),
        ("fromDate=2026-01-31T10:02:00.124Z", "ED"),
        ("toDate=2026-01-31T10:02:00.123Z", "CBA"),
        ("toDate=2026-01-31T10:02:00.122Z", "BA"),
        ("fromDate=2026-01-31T11:01:00%2B01:00&toDate=2026-01-31T10:03", "CB"),
        ("fromDate=2026-01-31T10:02:00.123Z&toDate=2026-01-31T10:02:00.123Z", "C"),
        ("kind=online&status=idle&search=elephants&createdBy={author}", "C"),
        ("unknown=1", "EDCBA"),
    ],
)
async def test_each_parameter_filters_or_sorts(shelf: Shelf, query: str, titles: str) -> None:
    filled = query.format(tag=shelf.tag, folder=shelf.folder, author=shelf.author)
    assert "".join(ordered(await shelf.http.get(f"{NOTES}?{filled}"))) == titles


NUMBER = "Input should be a valid integer, unable to parse string as an integer."
ID = "Input should be a valid UUID, "


@pytest.mark.parametrize(
    ("query", "param", "text"),
    [
        ("limit=0", "limit", "Input should be greater than or equal to 1."),
        ("limit=101", "limit", "Input should be less than or equal to 100."),
        ("limit=ten", "limit", NUMBER),
        ("limit=", "limit", NUMBER),
        ("limit=1.5", "limit", "Input should be a valid integer, unable to parse string as an integer."),
        ("offset=-1", "offset", "Input should be greater than or equal to 0."),
        (f"offset={2**63}", "offset", "Input should be less than or equal to 9223372036854775807."),
        ("sortBy=status", "sortBy", "Input should be 'createdAt', 'updatedAt' or 'title'."),
        ("sortOrder=up", "sortOrder", "Input should be 'asc' or 'desc'."),
        ("kind=film", "kind", "Input should be 'online', 'in-person' or 'podcast'."),
        ("fromDate=yesterday", "fromDate", "Must be an ISO 8601 date, or date and time."),
        ("toDate=2026-02-30", "toDate", "Must be an ISO 8601 date, or date and time."),
        ("participantEmail=nobody", "participantEmail", "This has the wrong form."),
        ("search=%00", "search", "Must not contain NUL characters."),
        ("search=" + "x" * 501, "search", "String should have at most 500 characters."),
        ("tagIds=" + ",".join([NEVER] * 101), "tagIds", "The length must be at most 100."),
    ],
)
async def test_invalid_parameters_are_refused(shelf: Shelf, query: str, param: str, text: str) -> None:
    assert status_and_body(await shelf.http.get(f"{NOTES}?{query}")) == invalid_parameter(param, text)


@pytest.mark.parametrize("query", ["search=" + "x" * 500, "tagIds=" + ",".join([NEVER] * 100)])
async def test_parameters_at_their_limits_are_accepted(shelf: Shelf, query: str) -> None:
    assert ordered(await shelf.http.get(f"{NOTES}?{query}")) == []


@pytest.mark.parametrize("name", ["createdBy", "tagIds", "folderIds"])
async def test_an_id_in_a_query_must_be_one(shelf: Shelf, name: str) -> None:
    status, body = status_and_body(await shelf.http.get(NOTES, params={name: "x"}))
    assert (status, body) == v1_error(400, "invalid_parameter", body["message"], name, body["errors"])
    assert body["errors"][name].startswith(ID)


async def test_a_range_that_ends_before_it_begins_is_refused(shelf: Shelf) -> None:
    reversed_range = await shelf.http.get(NOTES, params={"fromDate": "2026-02-01", "toDate": "2026-01-31"})
    message = "The first date must not be after the last."
    assert status_and_body(reversed_range) == v1_error(422, "unprocessable", message, "fromDate")
