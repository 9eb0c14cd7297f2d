"""`/api/v1/ai/suggestions` word by word: what it refuses in which order, and that a create may be repeated."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from resolvers.conversations.suggestions import MAX_LISTED
from rest_compat import suggestions
from tests.conftest import Tenant
from tests.support.clients import NOBODY, Caller
from tests.test_suggestions import PLACE, RestEdge, Talk, talk_of


@pytest.fixture
async def talk(tenant: Tenant) -> Talk:
    return await talk_of(await tenant.user())


def ai_error(status: int, code: str, detail: Any, text: str | None = None) -> tuple[int, dict[str, Any]]:
    return status, {"detail": detail, "error": text or detail, "code": code}


def input_error(kind: str, loc: list[str], text: str, value: Any = None, error: str | None = None) -> tuple[int, Any]:
    detail = {"type": kind, "loc": loc, "msg": text, "input": value}
    return ai_error(422, "invalid_parameter", [detail], error or ": ".join([*loc[1:], text]))


async def status_and_body(http: httpx.AsyncClient, method: str, path: str, **request: Any) -> tuple[int, Any]:
    answer = await http.request(method, path, **request)
    return answer.status_code, answer.json()


async def test_rest_checks_the_json_before_the_credential(talk: Talk) -> None:
    nobody = Caller(talk.caller.served, "")
    writing = [("POST", PLACE), ("PATCH", f"{PLACE}/{NOBODY}/status")]
    for method, path in writing:
        status, body = await status_and_body(nobody.http, method, path, content="{")
        [detail] = body["detail"]
        assert (status, detail["type"], detail["loc"]) == (422, "json_invalid", ["body"])
    message = "Authentication is required: send Authorization: Bearer <key or token>."
    for method, path in [*writing, ("GET", PLACE)]:
        assert await status_and_body(nobody.http, method, path, json={}) == ai_error(401, "missing_api_key", message)
    await nobody.close()


async def test_rest_checks_the_body_before_it_looks_for_rows(talk: Talk) -> None:
    http = talk.caller.http
    short, empty = "The length must be at least 1.", talk.edit("", conversation_id=NOBODY)
    refused = input_error("too_short", ["body", "suggested_text"], short, "")
    assert await status_and_body(http, "POST", PLACE, json=empty) == refused
    ends = talk.edit(position_start=5, position_end=4, conversation_id=NOBODY)
    refused = input_error("value_error", ["body", "position_end"], "The end must not be before the start.", 4)
    assert await status_and_body(http, "POST", PLACE, json=ends) == refused
    odd = json.dumps(talk.edit("\ud83d", conversation_id=NOBODY))
    status, body = await status_and_body(http, "POST", PLACE, content=odd, headers={"Content-Type": "application/json"})
    assert (status, body["code"]) == (422, "invalid_parameter")
    kinds = "Input should be 'proposed', 'applied', 'dismissed' or 'superseded'."
    decide = f"{PLACE}/{NOBODY}/status"
    for invalid in ("APPLIED", "open", "", 5, None):
        refused = input_error("enum", ["body", "status"], kinds, invalid)
        assert await status_and_body(http, "PATCH", decide, json={"status": invalid}) == refused
    query = {"conversation_id": NOBODY, "status": "open"}
    assert await status_and_body(http, "GET", PLACE, params=query) == input_error(
        "enum", ["query", "status"], kinds, "open"
    )
    missing = "This field is required."
    assert await status_and_body(http, "GET", PLACE) == input_error(
        "missing", ["query", "conversation_id"], missing, {}
    )
    assert await status_and_body(http, "PATCH", decide, json={}) == input_error(
        "missing", ["body", "status"], missing, {}
    )


async def test_rest_refuses_rows_that_do_not_exist(talk: Talk) -> None:
    http = talk.caller.http
    not_found = ai_error(404, "resource_not_found", f"Conversation {NOBODY} not found.")
    assert await status_and_body(http, "POST", PLACE, json=talk.edit(conversation_id=NOBODY)) == not_found
    assert await status_and_body(http, "GET", PLACE, params={"conversation_id": NOBODY}) == not_found
    for ident in (NOBODY, "nothing"):
        not_found = ai_error(404, "resource_not_found", f"Suggestion {ident} not found.")
        assert await status_and_body(http, "PATCH", f"{PLACE}/{ident}/status", json={"status": "applied"}) == not_found
    for field, text in {
        "document_id": "The conversation is about another note.",
        "message_id": "There is no such message in the conversation.",
    }.items():
        refused = input_error("value_error", ["body", field], text, error=text)
        assert await status_and_body(http, "POST", PLACE, json=talk.edit(**{field: NOBODY})) == refused
    created = (await RestEdge(talk.caller).create(**talk.edit(unknown=1))).thing["id"]
    decide = f"{PLACE}/{created}/status"
    assert (await status_and_body(http, "PATCH", decide, json={"status": "applied", "unknown": 1}))[0] == 200
    text = "The suggestion is applied already: it can't become dismissed."
    assert await status_and_body(http, "PATCH", decide, json={"status": "dismissed"}) == ai_error(409, "conflict", text)


async def test_a_repeated_create_returns_the_first_result(talk: Talk) -> None:
    once = {"Idempotency-Key": "same"}
    answers = await asyncio.gather(*(talk.caller.http.post(PLACE, json=talk.edit(), headers=once) for _ in range(10)))
    [created] = {answer.text for answer in answers}
    assert {answer.status_code for answer in answers} == {201}
    edge = RestEdge(talk.caller)
    assert await edge.listed(talk.id) == [answers[0].json()]
    # What it made may have been decided since: the answer is what it is now.
    decided = (await edge.decide(answers[0].json()["id"], "applied")).thing
    again = await talk.caller.http.post(PLACE, json=talk.edit(), headers=once)
    assert (again.status_code, again.json()) == (201, decided)
    assert created != again.text
    other = await talk.caller.http.post(PLACE, json=talk.edit("other"), headers=once)
    text = "This idempotency key was used for another request before."
    detail = [{"type": "value_error", "loc": ["body", "Idempotency-Key"], "msg": text, "input": None}]
    assert (other.status_code, other.json()) == ai_error(422, "unprocessable", detail, text)
    assert await edge.listed(talk.id) == [decided]


def test_the_description_names_the_number_of_listed_suggestions() -> None:
    assert f"newest {MAX_LISTED} " in str(suggestions.list_of_conversation.__doc__)
