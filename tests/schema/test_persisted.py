"""Documents that are named instead of sent, and the switch for introspection."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from caret.settings import SettingsError
from caret.trusted_documents import MAX_FILE_BYTES, trusted
from resolvers.core.errors import Problem
from schema.execution.operation import OperationRequest
from schema.execution.persisted_documents import MAX_PERSISTED, MAX_PERSISTED_MIB, PersistedDocuments
from tests.conftest import Services, Tenant, make_tenant
from tests.support.clients import Caller
from tests.support.servers import RunningServer, running_server

NAME = "query Name{__typename}"
LIVE = "subscription Live{workspaceEvents{id}}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def automatic(text: str, **more: Any) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest(text), **more}}}


async def sent(caller: Caller, media: str = "application/json", **body: Any) -> tuple[int, dict[str, Any]]:
    response = await caller.http.post("/graphql", json=body, headers={"Accept": media, "X-Request-Id": "req-1"})
    return response.status_code, response.json()


def refused(code: str, message: str, status: int, named: str | None = None) -> dict[str, Any]:
    field = {} if named is None else {"field": named}
    extensions = {"code": code, "status": status, **field, "requestId": "req-1"}
    return {"errors": [{"message": message, "extensions": extensions}]}


UNKNOWN = refused("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound", 200)


async def test_automatic_persisted_queries(tenant: Tenant) -> None:
    key, text = await tenant.key(), "query Automatic{__typename}"
    for media in ("application/json", "application/graphql-response+json"):
        assert await sent(key, media, **automatic(text)) == (200, UNKNOWN)
    answer = {"data": {"__typename": "Query"}}
    assert await sent(key, query=text, **automatic(text)) == (200, answer)
    assert await sent(key, **automatic(text)) == (200, answer)
    assert await sent(key, documentId=f"sha256:{digest(text)}") == (200, answer)
    extensions = json.dumps(automatic(text)["extensions"])
    response = await key.http.get("/graphql", params={"extensions": extensions})
    assert (response.status_code, response.json()) == (200, answer)
    response = await key.http.get("/graphql", params={"extensions": json.dumps(automatic("{a}")["extensions"])})
    assert (response.json()["errors"][0]["message"], response.headers["cache-control"]) == (
        "PersistedQueryNotFound",
        "private, no-cache, must-revalidate",
    )


async def test_an_invalid_document_is_not_stored(tenant: Tenant) -> None:
    key = await tenant.key()
    for text in ("{nope}", "{", "{" + "a:__typename " * 51 + "}"):
        assert (await sent(key, query=text, **automatic(text)))[1]["errors"][0]["extensions"]["status"] == 400
        assert await sent(key, **automatic(text)) == (200, UNKNOWN)


FIELD = "extensions.persistedQuery"
WRONG = {
    "another hash": (automatic("{a}"), f"{FIELD}.sha256Hash", "The hash is not the SHA-256 of the query."),
    "no hash": (
        automatic(NAME, sha256Hash="x"),
        f"{FIELD}.sha256Hash",
        "This must be a SHA-256, as 64 hexadecimal digits.",
    ),
    "version": (automatic(NAME, version=2), f"{FIELD}.version", "The supported version of persisted queries is 1."),
    "a version that is none": (
        automatic(NAME, version=True),
        f"{FIELD}.version",
        "The supported version of persisted queries is 1.",
    ),
    "no object": ({"extensions": {"persistedQuery": 5}}, FIELD, "This must be a JSON object."),
}


@pytest.mark.parametrize("name", WRONG)
async def test_automatic_persisted_queries_that_are_wrong(tenant: Tenant, name: str) -> None:
    body, field, message = WRONG[name]
    media = "application/graphql-response+json"
    expected = refused("BAD_USER_INPUT", message, 400, field)
    assert await sent(await tenant.key(), media, query=NAME, **body) == (400, expected)


def test_the_least_recently_used_documents_are_dropped() -> None:
    persisted = PersistedDocuments()

    def store(text: str) -> OperationRequest:
        operation = OperationRequest(text, extensions=automatic(text)["extensions"])
        persisted.store(operation)
        return OperationRequest(None, extensions=operation.extensions)

    first, second = store("{first}"), store("{second}")
    for n in range(MAX_PERSISTED - 2):
        store(f"{{a{n}}}")
    assert persisted.text_of(first) == "{first}"
    store("{more}")
    assert persisted.text_of(first) == "{first}"
    with pytest.raises(Problem, match="PersistedQueryNotFound"):
        persisted.text_of(second)
    large = [store(f"{n:020000}") for n in range(MAX_PERSISTED_MIB * 1024**2 // 20_000 + 1)]
    assert persisted.text_of(large[-1])
    for dropped in (first, large[0]):
        with pytest.raises(Problem, match="PersistedQueryNotFound"):
            persisted.text_of(dropped)


@pytest.fixture(scope="module")
def strict(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that executes only these documents, and does not allow introspection."""
    folder = tmp_path_factory.mktemp("strict")
    path = folder / "documents.json"
    path.write_text(json.dumps({"name": NAME, "live": LIVE, f"sha256:{digest('{a:__typename}')}": "{a:__typename}"}))
    more = {"trusted_documents": str(path), "introspection": "0"}
    with running_server(**services.settings, **more) as served:
        yield served


@pytest.fixture
async def insider(strict: RunningServer, database: AsyncEngine) -> AsyncIterator[Caller]:
    insider_tenant = await make_tenant(strict, database)
    caller = await insider_tenant.key()
    yield caller
    await caller.close()


async def test_trusted_documents(insider: Caller) -> None:
    answer = {"data": {"__typename": "Query"}}
    assert await sent(insider, documentId="name") == (200, answer)
    assert await sent(insider, documentId=f"sha256:{digest(NAME)}") == (200, answer)
    assert await sent(insider, **automatic(NAME)) == (200, answer)
    assert await sent(insider, **automatic("{a:__typename}")) == (200, {"data": {"a": "Query"}})
    response = await insider.http.get("/graphql", params={"documentId": "name"})
    assert (response.status_code, response.json()) == (200, answer)


async def test_nothing_else_runs(insider: Caller) -> None:
    media = "application/graphql-response+json"
    text = "Only trusted documents are accepted: send a document's id, without its text."
    expected = refused("PERSISTED_QUERY_ID_REQUIRED", text, 400, "query")
    for body in ({"query": "{__typename}"}, {"query": NAME}, {"query": NAME, "documentId": "name"}):
        assert await sent(insider, media, **body) == (400, expected)
    assert await sent(insider, media, query=NAME, **automatic(NAME)) == (400, expected)
    expected = refused("PERSISTED_QUERY_NOT_IN_LIST", "No trusted document has the id 'nothing'.", 400)
    assert await sent(insider, media, documentId="nothing") == (400, expected)
    # Nor over a socket.
    async with insider.socket() as socket:
        name = await socket.start(LIVE)
        [error] = (await socket.next(name))["payload"]
        assert error["extensions"]["code"] == "PERSISTED_QUERY_ID_REQUIRED"


async def test_introspection_that_is_switched_off(services: Services, database: AsyncEngine) -> None:
    with running_server(**services.settings, introspection="0") as served:
        caller = await (await make_tenant(served, database)).key()
        for query, field in (("{__schema{queryType{name}}}", "__schema"), ('{__type(name:"Note"){name}}', "__type")):
            status, answer = await sent(caller, "application/graphql-response+json", query=query)
            error, *_ = answer["errors"]
            assert (status, error["extensions"]["code"]) == (400, "BAD_USER_INPUT")
            text = "GraphQL introspection has been disabled, but the requested query contained the field"
            assert error["message"] == f"{text} '{field}'."
        no_value = "Variable '$m' has invalid value: Value 'HYBRD' does not exist in 'SearchMode' enum."
        unhinted: list[tuple[str, dict[str, Any], str]] = [
            ("{node_}", {}, "Cannot query field 'node_' on type 'Query'."),
            ("query($i:NoteInpu!){__typename}", {"i": {}}, "Unknown type 'NoteInpu'."),
            ('query($m:SearchMode){search(query:"a",mode:$m){score}}', {"m": "HYBRD"}, no_value),
        ]
        for query, variables, message in unhinted:
            _, answer = await sent(caller, query=query, variables=variables)
            assert message in [error["message"] for error in answer["errors"]]
        assert (await sent(caller, query="{__typename}"))[1] == {"data": {"__typename": "Query"}}
        await caller.close()


UNUSABLE = {
    "no JSON": ("{", "is not JSON: "),
    "a list": ("[]", "must be a JSON object of documents by their ids"),
    "no texts": ('{"a": 5}', "must be a JSON object of documents by their ids"),
    "syntax": ('{"a": "{"}', "document 'a' in .*: Syntax Error: Expected Name, found <EOF>"),
    "validation": ('{"a": "{nope}"}', "document 'a' in .*: Cannot query field 'nope' on type 'Query'"),
    "another hash": (json.dumps({f"sha256:{'0' * 64}": NAME}), f"has another hash: sha256:{digest(NAME)}"),
    "too large": ('{"a": "' + "x" * MAX_FILE_BYTES + '"}', "is larger than 16 MiB"),
    "introspection": ('{"a": "{__schema{queryType{name}}}"}', "introspection has been disabled"),
    "too complex": (json.dumps({"a": "{" + "a:__typename " * 51 + "}"}), "has 51 aliases, the limit is 50"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_trusted_documents_that_can_not_be_used(tmp_path: Path, name: str) -> None:
    content, message = UNUSABLE[name]
    path = tmp_path / "documents.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match=f"^CARET_TRUSTED_DOCUMENTS: .*{message}") as refused:
        trusted(path, introspection=False)
    assert "\n" not in str(refused.value)


def test_trusted_documents_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read: No such file"):
        trusted(tmp_path / "nothing")
