"""Every refusal in the words of its family, and none that says more than it should."""

from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from resolvers.core.errors import ErrorCode, Problem, bad_input, forbidden, not_found
from tests.rest.conftest import NOTE

AI = "/api/v1/ai"
ONE = f"/v1/notes/{NOTE}"

MALFORMED = [
    b"{",
    b"\xff",
    b'{"title":"\\ud800"}',
    b'{"title":NaN}',
    b'{"totalDurationSec":1e999}',
    b"[" * 100_000 + b"]" * 100_000,
    b'{"contentJson":' + b"[" * 300 + b"]" * 300 + b"}",
    b'{"contentJson":[' + b"9" * 300 + b"]}",
    b"null",
    b"[]",
    b"5",
    b'"text"',
    b'{"title":"a\\u0000b","message":"a\\u0000b","query":"a\\u0000b","document_id":"\\u0000"}',
    b'{"visibility":[],"top_k":' + b"9" * 400 + b"}",
]


BAD_QUERIES = [
    "limit=0",
    "limit=101",
    "limit=x",
    "limit=",
    "offset=-1",
    "offset=999999999999999999999",
    "sortBy=x",
    "sortOrder=x",
    "status=x",
    "kind=",
    "createdBy=x",
    "fromDate=1700000000",
    "toDate=2024-13-01",
    "tagIds=a,b",
    "participantEmail=x",
    "search=%00",
    "fromDate=0001-01-01T00:00:00%2B23:00",
]


def v1(response: httpx.Response) -> tuple[int, str, str]:
    body = response.json()
    assert body["message"] == body["error"]["message"]
    assert body["code"] == body["error"]["code"]
    return response.status_code, body["error"]["type"], body["code"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"Authorization": "Basic x"}, "missing_api_key"),
        ({"Authorization": "Bearer nobody"}, "invalid_api_key"),
        # A bearer token wins over a key.
        ({"Authorization": "Bearer nobody", "X-API-Key": "sk-caret-api-known"}, "invalid_api_key"),
    ],
)
async def test_v1_says_whether_a_credential_is_missing_or_invalid(
    edge: httpx.AsyncClient, headers: dict[str, str], code: str
) -> None:
    del edge.headers["Authorization"]
    response = await edge.get("/v1/notes", headers=headers)
    assert v1(response) == (401, "authentication_error", code)
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_ai_ignores_the_key_header_and_reports_invalid_json_first(edge: httpx.AsyncClient) -> None:
    del edge.headers["Authorization"]
    key = {"X-API-Key": "sk-caret-api-known"}
    assert (await edge.post(f"{AI}/conversations", content=b"{", headers=key)).status_code == 422
    refused = await edge.post(f"{AI}/conversations", json={}, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (401, "missing_api_key")


@pytest.mark.parametrize("body", MALFORMED)
async def test_no_malformed_body_causes_an_internal_error(edge: httpx.AsyncClient, body: bytes) -> None:
    with capture_logs() as logged:
        refused = await edge.patch(ONE, content=body)
        assert v1(refused) == (400, "validation_error", "invalid_parameter")
        for path in ("conversations", f"conversations/{NOTE}/stream", "embeddings/index", "embeddings/search"):
            answer = await edge.post(f"{AI}/{path}", content=body)
            assert answer.status_code == 422
            assert all(set(flaw) == {"type", "loc", "msg", "input"} for flaw in answer.json()["detail"])
            assert len(answer.content) < 3_000
    assert not logged


async def test_v1_names_every_invalid_field(edge: httpx.AsyncClient) -> None:
    body = {"kind": "x", "tagIds": [str(NOTE), "y"], "user_written_note": "", "participants": [{"name": "Z"}]}
    refused = (await edge.patch(ONE, json=body)).json()
    assert set(refused["errors"]) == {"kind", "tagIds.1", "user_written_note", "participants.0.email"}
    assert refused["error"]["param"] in refused["errors"]


async def test_errors_repeat_only_a_part_of_the_input(edge: httpx.AsyncClient) -> None:
    body = {"message": "m" * 40_000, "document_id": "d" * 40_000}
    refused = await edge.post(f"{AI}/conversations/{NOTE}/stream", json=body)
    assert refused.status_code == 422
    assert {flaw["loc"][-1] for flaw in refused.json()["detail"]} == {"message", "document_id"}
    assert len(refused.content) < 2_000
    many = await edge.post("/v1/notes", json={"title": "t", "transcripts": [{}] * 5_000, "k" * 5_000: 1})
    assert len(many.content) < 20_000


@pytest.mark.parametrize(
    "query",
    BAD_QUERIES,
)
async def test_v1_names_the_invalid_parameter(edge: httpx.AsyncClient, query: str) -> None:
    refused = await edge.get(f"/v1/notes?{query}")
    assert v1(refused) == (400, "validation_error", "invalid_parameter")
    assert refused.json()["error"]["param"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("problem", "answer"),
    [
        (not_found("Note", NOTE), (404, "resource_error", "resource_not_found")),
        (forbidden("Note"), (403, "permission_error", "forbidden")),
        (Problem(ErrorCode.INSUFFICIENT_SCOPE, "m"), (403, "permission_error", "insufficient_scope")),
        (Problem(ErrorCode.STALE_REVISION, "m"), (409, "conflict_error", "stale_revision")),
        (Problem(ErrorCode.PAYLOAD_TOO_LARGE, "m"), (413, "invalid_request_error", "payload_too_large")),
        (Problem(ErrorCode.UNPROCESSABLE, "m"), (422, "validation_error", "unprocessable")),
        (Problem(ErrorCode.RATE_LIMITED, "m", retry_after=7), (429, "rate_limit_error", "rate_limit_exceeded")),
        (Problem(ErrorCode.UNAVAILABLE, "m"), (503, "api_error", "unavailable")),
    ],
)
async def test_v1_renders_problems(
    edge: httpx.AsyncClient, raising: Any, problem: Problem, answer: tuple[int, str, str]
) -> None:
    raising("resolvers.notes.get_note", problem)
    refused = await edge.get(ONE)
    assert v1(refused) == answer
    assert refused.json()["message"] == problem.message
    wait = problem.retry_after and str(problem.retry_after)
    assert refused.headers.get("Retry-After") == wait
    assert refused.json()["error"].get("retry_after") == problem.retry_after


@pytest.mark.parametrize(
    ("problem", "status", "text"),
    [
        (not_found("Note", NOTE), 404, f"Document {NOTE} not found."),
        (forbidden("Note"), 403, "You do not have access to this document."),
        (not_found("Conversation", NOTE), 404, f"Conversation {NOTE} not found."),
        (Problem(ErrorCode.ALREADY_REPLYING, "Still running."), 409, "Still running."),
    ],
)
async def test_ai_renders_problems(
    edge: httpx.AsyncClient, raising: Any, problem: Problem, status: int, text: str
) -> None:
    raising("resolvers.conversations.conversations.get_conversation", problem)
    refused = await edge.get(f"{AI}/conversations/{NOTE}")
    assert refused.status_code == status
    assert refused.json() == {"detail": text, "error": text, "code": refused.json()["code"]}


async def test_ai_names_the_field_that_a_resolver_refused(edge: httpx.AsyncClient, raising: Any) -> None:
    raising("resolvers.replies.send", bad_input("modelId", "Unknown model."))
    refused = await edge.post(f"{AI}/conversations/{NOTE}/stream", json={"message": "m", "model_id": "x"})
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "model_id"]


@pytest.mark.parametrize("path", [ONE, f"{AI}/conversations/{NOTE}"])
async def test_an_unexpected_error_is_logged_and_masked(edge: httpx.AsyncClient, raising: Any, path: str) -> None:
    for function in ("resolvers.notes.get_note", "resolvers.conversations.conversations.get_conversation"):
        raising(function, RuntimeError("SELECT secret"))
    with capture_logs() as logged:
        refused = await edge.get(path)
    assert refused.status_code == 500
    assert "secret" not in refused.text
    assert [line["event"] for line in logged] == ["rest.failed"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", f"{AI}/nothing", 404),
        ("GET", "/v1/nothing/a%0Ab", 404),
        ("GET", f"{AI}/conversations/a%0Ab/messages", 404),
        ("GET", "/v1/notes/no-id", 404),
        ("DELETE", f"{AI}/embeddings/no-id", 404),
        ("PUT", "/v1/notes", 405),
        ("DELETE", f"{AI}/models", 405),
    ],
)
async def test_unknown_paths_and_methods_are_refused(
    edge: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    refused = await edge.request(method, path)
    assert refused.status_code == status
    assert ("detail" in refused.json()) == path.startswith(AI)
    assert ("Allow" in refused.headers) == (status == 405)


async def test_v1_refuses_other_media_types(edge: httpx.AsyncClient, raising: Any) -> None:
    refused = await edge.post("/v1/notes", data={"title": "x"})
    assert v1(refused) == (415, "invalid_request_error", "unsupported_media_type")
    raising("resolvers.notes.delete_note", not_found("Note", NOTE))
    assert (await edge.delete(ONE, headers={"Content-Type": "application/json"})).status_code == 404


@pytest.mark.parametrize("if_match", ["3", '"x"', '"1", "2"', f'"{"9" * 30}"'])
async def test_if_match_is_one_revision(edge: httpx.AsyncClient, if_match: str) -> None:
    refused = await edge.patch(ONE, json={"title": "x"}, headers={"If-Match": if_match})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "If-Match")
