"""The same case through GraphQL and through REST: both edges give the same answers."""

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydantic.alias_generators import to_camel
from sqlalchemy import insert

from models import Tag
from models.base import new_id
from models.note import NoteFields
from tests.conftest import Tenant
from tests.support.clients import NOBODY, Caller
from tests.support.note_defaults import JSON_DEFAULTS

PLAIN_FIELDS = " ".join(map(to_camel, NoteFields.model_fields))
NOTE = (
    """fragment Whole on Note {
  id status revision createdAt updatedAt createdBy { id } tags { id name color }
  participants { name email profileImageUrl accountName accountDomain accountImageUrl }
  calendarEvent { id title href startsAt endsAt calendarId createdAt updatedAt attendees { self email displayName } }
  transcripts(first: 100) {
    nodes { speaker text translation startTimestamp endTimestamp } pageInfo { hasNextPage } totalCount
  }
  indexedAt chunkCount """
    + PLAIN_FIELDS
    + "}"
)
CREATE = "mutation($input: CreateNoteInput!) { createNote(input: $input) { ...Whole } } " + NOTE
UPDATE = (
    "mutation($id: ID!, $input: UpdateNoteInput!, $r: Int) { updateNote(id: $id, input: $input, ifRevision: $r)"
    " { ...Whole } } " + NOTE
)
GET = "query($id: ID!) { note(id: $id) { ...Whole } } " + NOTE
DELETE = "mutation($id: ID!) { deleteNote(id: $id) }"
APPEND = (
    "mutation($id: ID!, $segments: [TranscriptSegmentInput!]!) { appendTranscript(noteId: $id, segments: $segments)"
    " { revision transcripts { nodes { text } } } }"
)
LIST = """query($first: Int, $after: String, $filter: NoteFilter, $orderBy: NoteOrder) {
  notes(first: $first, after: $after, filter: $filter, orderBy: $orderBy) {
    nodes { id title } totalCount pageInfo { hasNextPage endCursor }
} }"""

SEGMENT = {"speaker": "Ann", "text": "Hi", "startTimestamp": "00:00:01", "endTimestamp": "00:00:02"}
PERSON = {"name": "Ann", "email": "Ann@Example.com"}
EVENT = {
    "id": "e1",
    "title": "Meeting",
    "href": "https://meet.example/1",
    "startsAt": "2026-01-31T09:30:00Z",
    "endsAt": "2026-01-31T11:30:00+01:00",
    "calendarId": "c1",
    "attendees": [{"email": "a@b"}, {"self": True, "email": "c@d", "displayName": "C"}],
    "createdAt": "2026-01-01T00:00:00.123456Z",
}
FULL: dict[str, Any] = {
    "title": "Übersicht 🙂",
    "kind": "podcast",
    "visibility": "shared",
    "status": "summarizing",
    "userWrittenNote": "written",
    "enhancedNote": "enhanced",
    "summary": "summary",
    "contentText": "text",
    "contentJson": {"a": [1, 2.5, None, True, {}]},
    "participants": [PERSON, {**PERSON, "email": "b@c", "accountName": "Acme"}],
    "transcripts": [SEGMENT, {**SEGMENT, "text": "Hallo", "translation": "Hello"}],
    "calendarEvent": EVENT,
    "totalDurationSec": 12.5,
    "inputLanguage": "de",
    "translationLanguage": "en",
    "meetingApp": "Zoom",
}
PERSON_IN_RESPONSE = {
    **PERSON,
    **dict.fromkeys(["profileImageUrl", "accountName", "accountDomain", "accountImageUrl"]),
}
FULL_IN_RESPONSE: dict[str, Any] = {
    **JSON_DEFAULTS,
    **{name: FULL[name] for name in FULL if name not in {"contentText", "contentJson"}},
    "participants": [PERSON_IN_RESPONSE, {**PERSON_IN_RESPONSE, "email": "b@c", "accountName": "Acme"}],
    "transcripts": [{**SEGMENT, "translation": None}, {**SEGMENT, "text": "Hallo", "translation": "Hello"}],
    "calendarEvent": {
        **EVENT,
        "startsAt": "2026-01-31T09:30:00.000Z",
        "endsAt": "2026-01-31T10:30:00.000Z",
        "createdAt": "2026-01-01T00:00:00.123Z",
        "updatedAt": None,
        "attendees": [
            {"self": False, "email": "a@b", "displayName": None},
            {"self": True, "email": "c@d", "displayName": "C"},
        ],
    },
    "tags": [],
    "revision": 1,
}
EMPTY: dict[str, Any] = {
    **JSON_DEFAULTS,
    "title": "A",
    "kind": "online",
    "visibility": "workspace",
    "status": "idle",
    "userWrittenNote": "",
    "enhancedNote": "",
    "summary": "",
    "participants": [],
    "transcripts": [],
    "calendarEvent": None,
    "totalDurationSec": 0,
    "inputLanguage": None,
    "translationLanguage": None,
    "meetingApp": None,
    "tags": [],
    "revision": 1,
}
SERVER_FIELDS = {"id", "createdAt", "updatedAt"}
# A key acts as its workspace's own user; the chunks come later.
ONLY_GRAPHQL = {"createdBy", "contentText", "contentJson", "indexedAt", "chunkCount"}


@dataclass
class NoteResult:
    """The response of an edge: the note in the shape of /v1, or the code of an error and the field that it names."""

    note: dict[str, Any] | None = None
    code: str | None = None
    field: str | None = None

    @property
    def client_fields(self) -> dict[str, Any]:
        assert self.note is not None, (self.code, self.field)
        return {name: value for name, value in self.note.items() if name not in SERVER_FIELDS}


class GraphQLEdge:
    name = "graphql"

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def create(self, **fields: Any) -> NoteResult:
        return self._result(await self._post(CREATE, input=as_enums(fields)), "createNote")

    async def update(self, note_id: str, revision: int | None = None, **fields: Any) -> NoteResult:
        return self._result(await self._post(UPDATE, id=note_id, input=as_enums(fields), r=revision), "updateNote")

    async def get(self, note_id: str) -> NoteResult:
        return self._result(await self._post(GET, id=note_id), "note")

    async def delete(self, note_id: str) -> NoteResult:
        return self._result(await self._post(DELETE, id=note_id), "deleteNote")

    async def _post(self, query: str, **variables: Any) -> dict[str, Any]:
        # Not through httpx's own encoder, which refuses what a hostile client would send.
        body = json.dumps({"query": query, "variables": variables})
        headers = {"Content-Type": "application/json"}
        response = await self.caller.http.post("/graphql", content=body, headers=headers)
        if response.status_code != 200:
            return {"errors": [{"extensions": {"code": f"HTTP {response.status_code}"}}]}
        answer: dict[str, Any] = response.json()
        return answer

    @staticmethod
    def _result(answer: dict[str, Any], name: str) -> NoteResult:
        if "errors" in answer:
            extensions = answer["errors"][0]["extensions"]
            return NoteResult(code=extensions["code"], field=extensions.get("field"))
        value = answer["data"][name]
        if value is None:
            return NoteResult(code="NOT_FOUND")
        return NoteResult(as_v1(value) if isinstance(value, dict) else {"id": value})


class RestEdge:
    name = "rest"

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def create(self, **fields: Any) -> NoteResult:
        return await self._result("POST", "/v1/notes", fields, 201)

    async def update(self, note_id: str, revision: int | None = None, **fields: Any) -> NoteResult:
        headers = {} if revision is None else {"If-Match": f'"{revision}"'}
        return await self._result("PATCH", f"/v1/notes/{note_id}", fields, 200, **headers)

    async def get(self, note_id: str) -> NoteResult:
        return await self._result("GET", f"/v1/notes/{note_id}", None, 200)

    async def delete(self, note_id: str) -> NoteResult:
        return await self._result("DELETE", f"/v1/notes/{note_id}", None, 200)

    async def _result(self, method: str, path: str, fields: Any, status: int, **headers: str) -> NoteResult:
        body = None if fields is None else json.dumps(fields)
        headers = {**headers, "Content-Type": "application/json"}
        response = await self.caller.http.request(method, path, content=body, headers=headers)
        answer = response.json()
        if response.status_code != status:
            assert response.status_code < 500, answer
            return NoteResult(code=CODES[answer["code"]], field=answer["error"].get("param"))
        return NoteResult(answer.get("note", {}))


CODES = {
    "invalid_parameter": "BAD_USER_INPUT",
    "unprocessable": "UNPROCESSABLE",
    "stale_revision": "STALE_REVISION",
    "resource_not_found": "NOT_FOUND",
    "forbidden": "FORBIDDEN",
    "insufficient_scope": "INSUFFICIENT_SCOPE",
    "payload_too_large": "PAYLOAD_TOO_LARGE",
}
ENUMS = {"kind", "status", "visibility"}


def as_enums(fields: dict[str, Any]) -> dict[str, Any]:
    """Values of enums as GraphQL names them."""

    def name(value: Any) -> Any:
        return value.upper().replace("-", "_") if isinstance(value, str) else value

    return {key: name(value) if key in ENUMS else value for key, value in fields.items()}


def as_v1(note: dict[str, Any]) -> dict[str, Any]:
    """A note of GraphQL in the shape of /v1."""
    content = {name: value for name, value in note.items() if name not in ONLY_GRAPHQL}
    for name in ENUMS:
        content[name] = content[name].lower().replace("_", "-")
    assert content["transcripts"]["totalCount"] == len(content["transcripts"]["nodes"])
    content["transcripts"] = content["transcripts"]["nodes"]
    for values in (content, content["calendarEvent"] or {}):
        for name in {"createdAt", "updatedAt", "startsAt", "endsAt"} & values.keys():
            values[name] = values[name] and millis(values[name])
    return content


def millis(moment: str) -> str:
    seconds, _, fraction = moment.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction[:3].ljust(3, '0')}Z"


Edge = GraphQLEdge | RestEdge
EDGES: list[Callable[[Caller], Edge]] = [GraphQLEdge, RestEdge]


@pytest.fixture(params=EDGES, ids=["graphql", "rest"])
async def edge(request: pytest.FixtureRequest, tenant: Tenant) -> Edge:
    edge: Edge = request.param(await tenant.key())
    return edge


@pytest.fixture
def other(edge: Edge) -> Edge:
    """The other edge, with the same key."""
    return RestEdge(edge.caller) if isinstance(edge, GraphQLEdge) else GraphQLEdge(edge.caller)


async def tag(tenant: Tenant, name: str) -> str:
    tag_id = new_id()
    values = {"id": tag_id, "workspace_id": tenant.id, "name": name, "color": "#112233"}
    async with tenant.database.begin() as connection:
        await connection.execute(insert(Tag).values(values))
    return str(tag_id)


async def test_a_note_created_at_one_edge_is_the_same_at_both(edge: Edge, other: Edge, tenant: Tenant) -> None:
    tags = [await tag(tenant, name) for name in ("b", "a")]
    created = await edge.create(**FULL, tagIds=tags)
    note_tags = [{"id": tags[1], "name": "a", "color": "#112233"}, {"id": tags[0], "name": "b", "color": "#112233"}]
    assert created.client_fields == {**FULL_IN_RESPONSE, "tags": note_tags}
    assert created.note is not None
    assert (await edge.get(created.note["id"])).note == (await other.get(created.note["id"])).note == created.note
    assert created.note["createdAt"] == created.note["updatedAt"]
    extra = (await edge.caller.data(GET, id=created.note["id"]))["note"]
    assert (extra["contentText"], extra["contentJson"]) == ("text", FULL["contentJson"])


async def test_a_new_note_has_the_same_defaults_at_both(edge: Edge, other: Edge) -> None:
    created = await edge.create(title="A")
    assert created.client_fields == EMPTY
    assert created.note is not None
    assert (await other.get(created.note["id"])).note == created.note
    with_transcript = await edge.create(title="A", transcripts=[SEGMENT])
    assert with_transcript.client_fields == {
        **EMPTY,
        "status": "completed",
        "transcripts": [{**SEGMENT, "translation": None}],
    }


async def test_an_update_keeps_fields_that_were_not_sent_and_null_clears(edge: Edge, other: Edge) -> None:
    created = await edge.create(**FULL)
    assert created.note is not None
    nulls = dict.fromkeys(["calendarEvent", "inputLanguage", "translationLanguage", "meetingApp"])
    changed = await edge.update(created.note["id"], title="B", contentJson=None, **nulls)
    assert changed.client_fields == {**FULL_IN_RESPONSE, **nulls, "title": "B", "revision": 2}
    assert (await other.get(created.note["id"])).note == changed.note
    assert (await other.caller.data(GET, id=created.note["id"]))["note"]["contentJson"] is None
    lists: dict[str, Any] = {"participants": [], "transcripts": []}
    assert (await other.update(created.note["id"], **lists)).client_fields == {
        **changed.client_fields,
        **lists,
        "revision": 3,
    }


async def test_null_is_refused_for_fields_that_are_not_nullable(edge: Edge) -> None:
    created = await edge.create(title="A")
    assert created.note is not None
    texts = ("title", "userWrittenNote", "enhancedNote", "summary", "contentText")
    for field in (*texts, *sorted(ENUMS), "tagIds", "participants", "transcripts", "totalDurationSec"):
        assert await edge.update(created.note["id"], **{field: None}) == NoteResult(code="BAD_USER_INPUT", field=field)
    assert (await edge.get(created.note["id"])).note == created.note


BAD: list[tuple[str, Any]] = [
    ("title", ""),
    ("title", "x" * 501),
    ("title", "nul\x00"),
    ("summary", "\x00"),
    ("contentText", "x" * 500_001),
    ("meetingApp", "x" * 501),
    ("totalDurationSec", -1),
    ("totalDurationSec", 1e300),
    ("contentJson", {"a": 1e300}),
    ("contentJson", {"a": ["\x00"]}),
    ("tagIds.0", ["nobody"]),
    ("tagIds", [str(uuid.UUID(int=7))] * 101),
    ("participants.0.email", [{"name": "A", "email": "nobody"}]),
    ("participants", [PERSON] * 501),
    ("transcripts.0.startTimestamp", [{**SEGMENT, "startTimestamp": "1:00"}]),
    ("transcripts", [SEGMENT] * 10_001),
]


@pytest.mark.parametrize(("field", "value"), BAD, ids=[f"{number}-{field}" for number, (field, _) in enumerate(BAD)])
async def test_both_edges_name_the_invalid_field(edge: Edge, field: str, value: object) -> None:
    fields = {"title": "A", field.partition(".")[0]: value}
    assert await edge.create(**fields) == NoteResult(code="BAD_USER_INPUT", field=field)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", 5),
        ("title", ["x"]),
        ("title", "lone \ud800"),
        ("summary", "\udfff"),
        ("kind", "video"),
        ("status", 1),
        ("totalDurationSec", "5"),
        ("totalDurationSec", float("nan")),
        ("totalDurationSec", float("inf")),
        ("participants", [{**PERSON, "nick": "x"}]),
        ("participants", [{"name": "A"}]),
        ("participants", "Ann"),
        ("calendarEvent", {**EVENT, "startsAt": "yesterday"}),
        ("calendarEvent", {**EVENT, "startsAt": "2026-01-31T09:30:00"}),
        ("calendarEvent", {**EVENT, "endsAt": "9999-12-31T23:59:59-14:00"}),
        ("folder", "x"),
    ],
)
async def test_wrong_types_are_refused_at_both(edge: Edge, field: str, value: object) -> None:
    result = await edge.create(**{"title": "A", field: value})
    # What is no JSON at all, GraphQL refuses before it looks at the operation.
    assert result.code in {"BAD_USER_INPUT", "HTTP 400"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "🙂" * 500),
        ("summary", "é" * 500_000),
        ("transcripts", [SEGMENT] * 100),
        ("participants", [PERSON_IN_RESPONSE] * 500),
        ("totalDurationSec", 10_000_000),
    ],
)
async def test_values_at_their_limits_are_stored(edge: Edge, other: Edge, field: str, value: Any) -> None:
    created = await edge.create(**{"title": "A", field: value})
    assert created.note is not None
    expected = [{**SEGMENT, "translation": None}] * 100 if field == "transcripts" else value
    assert created.note[field] == expected
    assert (await other.get(created.note["id"])).note == created.note


async def test_an_unknown_tag_is_unprocessable(edge: Edge, tenant: Tenant, stranger: Tenant) -> None:
    foreign = await tag(stranger, "theirs")
    for unknown in (foreign, str(uuid.uuid4())):
        assert await edge.create(title="A", tagIds=[unknown]) == NoteResult(code="UNPROCESSABLE", field="tagIds")


async def test_a_stale_revision_is_refused(edge: Edge, other: Edge) -> None:
    created = await edge.create(title="A")
    assert created.note is not None
    ident = created.note["id"]
    assert (await edge.update(ident, 1, title="B")).client_fields == {**EMPTY, "title": "B", "revision": 2}
    for way in (edge, other):
        assert await way.update(ident, 1, title="C") == NoteResult(code="STALE_REVISION")
    assert (await other.update(ident, 2, title="C")).client_fields["revision"] == 3
    results = await asyncio.gather(*(way.update(ident, 3, title="D") for way in (edge, other) for _ in range(4)))
    assert sorted(one.code or "won" for one in results) == ["STALE_REVISION"] * 7 + ["won"]


@pytest.mark.parametrize("ident", [NOBODY, "nobody", "x" * 300, "%00", "🙂"])
async def test_a_missing_note_is_not_found(edge: Edge, ident: str) -> None:
    for result in (await edge.get(ident), await edge.update(ident, title="B"), await edge.delete(ident)):
        assert result == NoteResult(code="NOT_FOUND")


async def test_a_note_deleted_at_one_edge_is_deleted_at_both(edge: Edge, other: Edge) -> None:
    created = await edge.create(title="A")
    assert created.note is not None
    assert (await edge.delete(created.note["id"])).code is None
    assert [(await way.get(created.note["id"])).code for way in (edge, other)] == ["NOT_FOUND"] * 2
    assert [(await way.delete(created.note["id"])).code for way in (edge, other)] == ["NOT_FOUND"] * 2


async def test_appended_segments_follow_the_others(tenant: Tenant) -> None:
    key = await tenant.key()
    note = (await key.data(CREATE, input={"title": "A", "transcripts": [SEGMENT]}))["createNote"]
    done = await key.data(APPEND, id=note["id"], segments=[{**SEGMENT, "text": "2"}, {**SEGMENT, "text": "3"}])
    assert done["appendTranscript"] == {
        "revision": 2,
        "transcripts": {"nodes": [{"text": "Hi"}, {"text": "2"}, {"text": "3"}]},
    }
    for segments in ([], [SEGMENT] * 1_001):
        assert await key.code(APPEND, id=note["id"], segments=segments) == "BAD_USER_INPUT"
    assert len((await key.http.get(f"/v1/notes/{note['id']}")).json()["note"]["transcripts"]) == 3


@pytest.mark.parametrize("search", ["nul\x00", "x" * 501])
async def test_what_a_transcript_is_not_searched_for(tenant: Tenant, search: str) -> None:
    key = await tenant.key()
    note = (await key.data(CREATE, input={"title": "A", "transcripts": [SEGMENT]}))["createNote"]
    query = "query($id: ID!, $s: String) { note(id: $id) { transcripts(search: $s) { totalCount } } }"
    assert await key.code(query, id=note["id"], s=search) == "BAD_USER_INPUT"


FILTERS: list[tuple[dict[str, Any], dict[str, str], list[str]]] = [
    ({}, {}, ["c", "b", "a"]),
    ({"status": "COMPLETED"}, {"status": "completed"}, ["c"]),
    ({"kind": "IN_PERSON"}, {"kind": "in-person"}, ["b"]),
    ({"search": "heizung"}, {"search": "heizung"}, ["a"]),
    ({"participantEmail": "ANN@example.com"}, {"participantEmail": "ANN@example.com"}, ["b"]),
    ({"createdTo": "2000-01-01T00:00:00Z"}, {"toDate": "2000-01-01"}, []),
    ({"createdFrom": "2000-01-01T00:00:00Z"}, {"fromDate": "2000-01-01T00:00:00Z"}, ["c", "b", "a"]),
    ({"tagIds": ["TAG"]}, {"tagIds": "TAG"}, ["c"]),
    ({"tagIds": [str(uuid.UUID(int=1))]}, {"tagIds": str(uuid.UUID(int=1))}, []),
]


async def test_lists_are_the_same_at_both(tenant: Tenant) -> None:
    key, label = await tenant.key(), await tag(tenant, "t")
    for note in (
        {"title": "a", "summary": "Die Heizung"},
        {"title": "b", "kind": "IN_PERSON", "participants": [PERSON]},
        {"title": "c", "transcripts": [SEGMENT], "tagIds": [label]},
    ):
        await key.data(CREATE, input=note)
    for note_filter, query, expected in json.loads(json.dumps(FILTERS).replace("TAG", label)):
        page = (await key.data(LIST, filter=note_filter))["notes"]
        assert ([node["title"] for node in page["nodes"]], page["totalCount"]) == (expected, len(expected)), note_filter
        answer = (await key.http.get("/v1/notes", params=query)).json()
        assert [item["title"] for item in answer["items"]] == expected, query
        assert answer["pagination"] == {"limit": 20, "nextOffset": len(expected), "isLast": True}
    for field, by in (("CREATED_AT", "createdAt"), ("UPDATED_AT", "updatedAt"), ("TITLE", "title")):
        for direction, titles in (("ASC", ["a", "b", "c"]), ("DESC", ["c", "b", "a"])):
            order = {"field": field, "direction": direction}
            first = (await key.data(LIST, orderBy=order, first=2))["notes"]
            after = first["pageInfo"]["endCursor"]
            rest = (await key.data(LIST, orderBy=order, first=2, after=after))["notes"]
            assert [node["title"] for node in first["nodes"] + rest["nodes"]] == titles
            sort = {"sortBy": by, "sortOrder": direction.lower(), "limit": "2"}
            items = []
            for offset in ("0", "2"):
                items += (await key.http.get("/v1/notes", params={**sort, "offset": offset})).json()["items"]
            assert [item["title"] for item in items] == titles


@pytest.mark.parametrize(
    ("variables", "query", "codes", "fields"),
    [
        ({"first": 0}, {"limit": "0"}, ("BAD_USER_INPUT", 400), ("first", "limit")),
        ({"first": 101}, {"limit": "101"}, ("BAD_USER_INPUT", 400), ("first", "limit")),
        ({"after": "x"}, {"offset": "-1"}, ("BAD_USER_INPUT", 400), ("after", "offset")),
        ({"filter": {"search": "\x00"}}, {"search": "\x00"}, ("BAD_USER_INPUT", 400), ("search", "search")),
        ({"filter": {"createdBy": "x"}}, {"createdBy": "x"}, ("BAD_USER_INPUT", 400), ("createdBy", "createdBy")),
        (
            {"filter": {"createdFrom": "2026-01-02T00:00:00Z", "createdTo": "2026-01-01T00:00:00Z"}},
            {"fromDate": "2026-01-02", "toDate": "2026-01-01"},
            ("UNPROCESSABLE", 422),
            ("createdFrom", "fromDate"),
        ),
    ],
)
async def test_both_edges_refuse_the_same_lists(
    tenant: Tenant, variables: dict[str, Any], query: dict[str, str], codes: tuple[str, int], fields: tuple[str, str]
) -> None:
    key = await tenant.key()
    [error] = (await key.graphql(LIST, **variables))["errors"]
    response = await key.http.get("/v1/notes", params=query)
    assert (error["extensions"]["code"], response.status_code) == codes
    assert (error["extensions"]["field"], response.json()["error"]["param"]) == fields


# The editor's API, /api/v1/ai, and its fields of GraphQL.

CONVERSE = "mutation($i: CreateConversationInput!) { createConversation(input: $i) { id title createdAt updatedAt } }"
TALKS = "query($id: ID!) { note(id: $id) { conversations { totalCount nodes { id title updatedAt } } } }"
RENAME = "mutation($id: ID!, $t: String!) { updateConversation(id: $id, input: {title: $t}) { id title } }"
SEARCH = """query($q: String!, $first: Int, $mode: SearchMode, $note: ID, $x: Boolean, $filter: NoteFilter) {
  search(query: $q, first: $first, mode: $mode, noteId: $note, excludeNote: $x, filter: $filter) {
    note { id title } chunkIndex chunkText isCurrentNote score similarity highlight source startOffset endOffset
} }"""
INDEX = "mutation($id: ID!, $c: String) { indexNote(noteId: $id, content: $c) { chunksIndexed note { id } } }"
FORGET = "mutation($id: ID!) { deleteEmbeddings(noteId: $id) }"


async def create_note(key: Caller, **fields: Any) -> str:
    return str((await key.data(CREATE, input={"title": "A", **fields}))["createNote"]["id"])


async def test_conversations_are_the_same_at_both(tenant: Tenant) -> None:
    user = await tenant.user()
    note = await create_note(user)
    first = (await user.data(CONVERSE, i={"noteId": note, "title": "One"}))["createConversation"]
    response = await user.http.post("/api/v1/ai/conversations", json={"document_id": note, "title": "Two"})
    second = response.json()
    assert (response.status_code, second) == (
        201,
        {
            "id": second["id"],
            "document_id": note,
            "user_id": str(user.user_id),
            "title": "Two",
            "created_at": second["created_at"],
            "updated_at": second["created_at"],
        },
    )
    assert (await user.http.post(f"/api/v1/ai/conversations/{first['id']}/touch")).status_code == 204
    listed = (await user.data(TALKS, id=note))["note"]["conversations"]
    rest = (await user.http.get("/api/v1/ai/conversations", params={"document_id": note})).json()
    assert [(one["id"], one["title"]) for one in listed["nodes"]] == [(first["id"], "One"), (second["id"], "Two")]
    assert (listed["totalCount"], rest["total"]) == (2, 2)
    assert [(one["id"], one["title"], one["updated_at"]) for one in rest["items"]] == [
        (one["id"], one["title"], one["updatedAt"]) for one in listed["nodes"]
    ]
    await user.data(RENAME, id=second["id"], t="Renamed")
    assert (await user.http.get(f"/api/v1/ai/conversations/{second['id']}")).json()["title"] == "Renamed"
    assert (await user.http.delete(f"/api/v1/ai/conversations/{second['id']}")).status_code == 204
    query = "query($id: ID!) { conversation(id: $id) { id } }"
    assert await user.data(query, id=second["id"]) == {"conversation": None}


def codes(answer: dict[str, Any], response: httpx.Response) -> tuple[str, int]:
    return answer["errors"][0]["extensions"]["code"], response.status_code


@pytest.mark.parametrize(
    ("note", "title", "expected"),
    [
        ("x", None, ("BAD_USER_INPUT", 422)),
        (NOBODY, None, ("NOT_FOUND", 404)),
        ("OWN", "x" * 256, ("BAD_USER_INPUT", 422)),
        ("OWN", "\x00", ("BAD_USER_INPUT", 422)),
    ],
)
async def test_both_edges_refuse_the_same_conversations(
    tenant: Tenant, note: str, title: str | None, expected: tuple[str, int]
) -> None:
    user = await tenant.user()
    note = await create_note(user) if note == "OWN" else note
    answer = await user.graphql(CONVERSE, i={"noteId": note, "title": title})
    response = await user.http.post("/api/v1/ai/conversations", json={"document_id": note, "title": title})
    assert codes(answer, response) == expected


async def test_search_and_indexing_are_the_same_at_both(tenant: Tenant) -> None:
    user = await tenant.user()
    lunch, heating = await create_note(user, title="Lunch"), await create_note(user, title="Heating")
    text = {lunch: "We will order pizza on Friday.", heating: "The heating is broken. " * 60}
    body = {"document_id": heating, "content": text[heating]}
    response = await user.http.post("/api/v1/ai/embeddings/index", json=body)
    chunks = response.json()["chunks_indexed"]
    assert (response.status_code, response.json()) == (200, {"document_id": heating, "chunks_indexed": chunks})
    assert 2 < chunks < 19
    done = (await user.data(INDEX, id=lunch, c=text[lunch]))["indexNote"]
    assert done == {"chunksIndexed": 1, "note": {"id": lunch}}

    for exclude in (False, True):
        hits = (await user.data(SEARCH, q="pizza", first=20, mode="SEMANTIC", note=lunch, x=exclude))["search"]
        query = {"query": "pizza", "document_id": lunch, "top_k": 20, "exclude_current_document": exclude}
        answer = (await user.http.post("/api/v1/ai/embeddings/search", json=query)).json()
        assert answer == {
            "document_id": lunch,
            "query": "pizza",
            "results": [
                {
                    "document_id": hit["note"]["id"],
                    "workspace_id": str(tenant.id),
                    "chunk_index": hit["chunkIndex"],
                    "chunk_text": hit["chunkText"],
                    "document_title": hit["note"]["title"],
                    "is_current_document": hit["isCurrentNote"],
                    "score": hit["score"],
                }
                for hit in hits
            ],
        }
        assert (len(hits), hits[0]["isCurrentNote"]) == (chunks if exclude else chunks + 1, not exclude)
    assert (await user.http.delete(f"/api/v1/ai/embeddings/{lunch}")).status_code == 204
    await user.data(FORGET, id=heating)
    assert (await user.data(SEARCH, q="pizza"))["search"] == []


async def test_the_fields_of_a_search_result(tenant: Tenant) -> None:
    """Only GraphQL has the modes, the filter and the marked words; REST searches by meaning."""
    user = await tenant.user()
    note, other = await create_note(user, title="Lunch", kind="PODCAST"), await create_note(user, title="Heating")
    await user.data(INDEX, id=note, c="We order <b>pizzas</b>.")
    await user.data(INDEX, id=other, c="The heating is broken.")
    [hit] = (await user.data(SEARCH, q="pizza", mode="TEXT"))["search"]
    assert hit == {
        "note": {"id": note, "title": "Lunch"},
        "chunkIndex": 0,
        "chunkText": "We order <b>pizzas</b>.",
        "isCurrentNote": False,
        "score": hit["score"],
        "similarity": None,
        "highlight": "We order &lt;b&gt;<mark>pizzas</mark>&lt;/b&gt;.",
        "source": "CONTENT",
        "startOffset": 0,
        "endOffset": 23,
    }
    for mode in (None, "HYBRID"):
        hits = (await user.data(SEARCH, q="pizza", mode=mode, note=note))["search"]
        assert [(hit["note"]["id"], hit["isCurrentNote"]) for hit in hits] == [(note, True), (other, False)]
        assert hits[0]["score"] == pytest.approx(2 / 61)
        assert [hit["highlight"] is None for hit in hits] == [False, True]
    near = (await user.data(SEARCH, q="pizza", mode="SEMANTIC"))["search"]
    assert [hit["similarity"] for hit in near] == [hit["score"] for hit in near] == [hit["similarity"] for hit in hits]
    for mode in ("HYBRID", "SEMANTIC", "TEXT"):
        assert (await user.data(SEARCH, q="pizza", mode=mode, filter={"kind": "ONLINE"}))["search"] == (
            [] if mode == "TEXT" else [near[1] | {"score": near[1]["score"] if mode == "SEMANTIC" else 1 / 61}]
        )


SEARCH_REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"q": "x", "note": str(uuid.UUID(int=1))}, "NOT_FOUND", ""),
    ({"q": "x", "note": "x"}, "NOT_FOUND", ""),
    ({"q": "x", "filter": {"search": "\x00"}}, "BAD_USER_INPUT", "search"),
    ({"q": "x", "filter": {"createdBy": "x"}}, "BAD_USER_INPUT", "createdBy"),
    ({"q": "x", "filter": {"tagIds": [str(uuid.UUID(int=1))] * 101}}, "BAD_USER_INPUT", "tagIds"),
    ({"q": "\x00"}, "BAD_USER_INPUT", "query"),
    (
        {"q": "x", "filter": {"createdFrom": "2026-01-02T00:00:00Z", "createdTo": "2026-01-01T00:00:00Z"}},
        "UNPROCESSABLE",
        "createdFrom",
    ),
]


@pytest.mark.parametrize("mode", ["HYBRID", "SEMANTIC", "TEXT"])
@pytest.mark.parametrize(("variables", "code", "field"), SEARCH_REFUSED)
async def test_invalid_searches_are_refused(
    tenant: Tenant, variables: dict[str, Any], code: str, field: str, mode: str
) -> None:
    user = await tenant.user()
    [error] = (await user.graphql(SEARCH, **variables, mode=mode))["errors"]
    assert (error["extensions"]["code"], error["extensions"].get("field", "")) == (code, field)


def of_graphql(answer: dict[str, Any]) -> Any:
    """The notes of the results, or the code of the error."""
    if "errors" in answer:
        return answer["errors"][0]["extensions"]["code"]
    return [hit["note"]["id"] for hit in answer["data"]["search"]]


def of_rest(answer: httpx.Response) -> Any:
    if answer.status_code != 200:
        return answer.status_code
    return [hit["document_id"] for hit in answer.json()["results"]]


@pytest.mark.parametrize("how", ["deleted", "private", "unshared"])
async def test_the_next_search_leaves_out_notes_that_are_no_longer_readable(
    tenant: Tenant, stranger: Tenant, how: str
) -> None:
    owner, member, outsider = await tenant.user(), await tenant.user(), await stranger.user()
    note, own = await create_note(owner), await create_note(member)
    await owner.data(INDEX, id=note, c="The heating is broken.")
    await owner.data(
        "mutation($n: ID!, $u: ID!) { shareNote(noteId: $n, userId: $u) { id } }", n=note, u=str(outsider.user_id)
    )
    reader, around = (outsider, note) if how == "unshared" else (member, own)

    async def count_in_each_mode() -> list[Any]:
        ways = [
            await reader.graphql(SEARCH, q="heating", mode=mode, note=around) for mode in ("HYBRID", "SEMANTIC", "TEXT")
        ]
        query = {"query": "heating", "document_id": around}
        answer = await reader.http.post("/api/v1/ai/embeddings/search", json=query)
        result = [*map(of_graphql, ways), of_rest(answer)]
        return [len([hit for hit in hits if hit == note]) if isinstance(hits, list) else hits for hits in result]

    assert await count_in_each_mode() == [1, 1, 1, 1]
    if how == "deleted":
        await owner.data(DELETE, id=note)
    elif how == "private":
        await owner.data(UPDATE, id=note, input={"visibility": "PRIVATE"})
    else:
        await owner.data(
            "mutation($n: ID!, $u: ID!) { unshareNote(noteId: $n, userId: $u) { id } }", n=note, u=str(outsider.user_id)
        )
    assert await count_in_each_mode() == (["NOT_FOUND"] * 3 + [404] if how == "unshared" else [0, 0, 0, 0])


@pytest.mark.parametrize(
    ("variables", "body"),
    [
        ({"q": ""}, {"query": ""}),
        ({"q": "x" * 2_001}, {"query": "x" * 2_001}),
        ({"q": "\x00"}, {"query": "\x00"}),
        ({"q": "x", "first": 0}, {"query": "x", "top_k": 0}),
        ({"q": "x", "first": 21}, {"query": "x", "top_k": 21}),
    ],
)
async def test_both_edges_refuse_the_same_searches(
    tenant: Tenant, variables: dict[str, Any], body: dict[str, Any]
) -> None:
    user = await tenant.user()
    note = await create_note(user)
    response = await user.http.post("/api/v1/ai/embeddings/search", json={**body, "document_id": note})
    assert codes(await user.graphql(SEARCH, **variables), response) == ("BAD_USER_INPUT", 422)


@pytest.mark.parametrize("content", ["\x00", "x" * 500_001])
async def test_both_edges_refuse_to_index_the_same_texts(tenant: Tenant, content: str) -> None:
    user = await tenant.user()
    note = await create_note(user)
    response = await user.http.post("/api/v1/ai/embeddings/index", json={"document_id": note, "content": content})
    assert codes(await user.graphql(INDEX, id=note, c=content), response) == ("BAD_USER_INPUT", 422)


async def test_messages_are_the_same_at_both(tenant: Tenant) -> None:
    user = await tenant.user()
    talk = (await user.data(CONVERSE, i={"noteId": await create_note(user), "title": "T"}))["createConversation"]["id"]
    send = 'mutation($c: ID!) { sendMessage(conversationId: $c, input: {message: "Hi"}) { reply { id } } }'
    reply = (await user.data(send, c=talk))["sendMessage"]["reply"]["id"]
    follow = "subscription($m: ID!) { reply(messageId: $m) { __typename } }"
    assert (await user.subscribed(follow, m=reply))[-1]["data"]["reply"]["__typename"] == "ReplyDone"
    query = """query($id: ID!) { conversation(id: $id) {
      messages { totalCount nodes { id role content tokenCount createdAt updatedAt } } } }"""
    response = (await user.data(query, id=talk))["conversation"]["messages"]
    answer = (await user.http.get(f"/api/v1/ai/conversations/{talk}/messages")).json()
    assert answer == {
        "total": 2,
        "items": [
            {
                "id": one["id"],
                "conversation_id": talk,
                "role": one["role"].lower(),
                "content": one["content"],
                "token_count": one["tokenCount"],
                "tool_calls": [],
                "created_at": one["createdAt"],
                "updated_at": one["updatedAt"],
            }
            for one in response["nodes"]
        ],
    }
    assert [one["content"] for one in response["nodes"]] == ["Hi", "All is well."]
    assert response["totalCount"] == 2


@pytest.mark.parametrize(
    ("field", "value"), [("message", ""), ("message", "x" * 32_001), ("message", "\x00"), ("modelId", "gpt-17")]
)
async def test_both_edges_refuse_the_same_messages(tenant: Tenant, field: str, value: str) -> None:
    user = await tenant.user()
    talk = (await user.data(CONVERSE, i={"noteId": await create_note(user)}))["createConversation"]["id"]
    question = {"message": "Hi", field: value}
    send = "mutation($c: ID!, $i: SendMessageInput!) { sendMessage(conversationId: $c, input: $i) { reply { id } } }"
    answer = await user.graphql(send, c=talk, i=question)
    body = {"model_id" if name == "modelId" else name: text for name, text in question.items()}
    response = await user.http.post(f"/api/v1/ai/conversations/{talk}/stream", json=body)
    assert codes(answer, response) == ("BAD_USER_INPUT", 422)
    assert (await user.http.get(f"/api/v1/ai/conversations/{talk}/messages")).json() == {"items": [], "total": 0}
