"""Suggestions at both edges: proposed, decided, listed, refused, and told of to nobody but their owner."""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from models.conversation import MAX_POSITION, MAX_SUGGESTED_TEXT
from tests.conftest import Tenant
from tests.support.clients import NOBODY, Caller
from tests.support.rest import EdgeResult, send_mutation
from tests.support.samples import sql
from tests.test_access import event, listening
from tests.test_main_job import ASK, CONVERSE, CREATE

PLACE = "/api/v1/ai/suggestions"
SHOWN = """{ id status operation originalText suggestedText positionStart positionEnd createdAt updatedAt
  message { id } note { id } }"""
MAKE = f"mutation($input: CreateSuggestionInput!) {{ createSuggestion(input: $input) {SHOWN} }}"
DECIDE = f"mutation($id: ID!, $s: SuggestionStatus!) {{ setSuggestionStatus(id: $id, status: $s) {SHOWN} }}"
LIST = f"query($c: ID!, $s: SuggestionStatus) {{ conversation(id: $c) {{ suggestions(status: $s) {SHOWN} }} }}"
EVENTS = """subscription { workspaceEvents(types: [SUGGESTION_CREATED, SUGGESTION_UPDATED]) {
  type noteId conversation { id } suggestion { id status suggestedText } message { id } actor { ... on User { id } }
} }"""
CAMEL = {"document_id": "noteId", "conversation_id": "conversationId", "message_id": "messageId"}
CAMEL |= {"original_text": "originalText", "suggested_text": "suggestedText"}
CAMEL |= {"position_start": "positionStart", "position_end": "positionEnd"}
CODES = {"invalid_parameter": "BAD_USER_INPUT", "resource_not_found": "NOT_FOUND"}


class GraphQLEdge:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def create(self, **fields: Any) -> EdgeResult:
        given = {CAMEL[name]: value for name, value in fields.items()}
        talk = fields.get("conversation_id")
        return self._told(await send_mutation(self.caller, MAKE, input=given), talk)

    async def decide(self, ident: str, status: str, talk: str | None = None) -> EdgeResult:
        return self._told(await send_mutation(self.caller, DECIDE, id=ident, s=status.upper()), talk)

    async def listed(self, talk: str, status: str | None = None) -> list[Any]:
        found = (await self.caller.data(LIST, c=talk, s=status and status.upper()))["conversation"]
        return [as_rest(one, talk) for one in found["suggestions"]]

    @staticmethod
    def _told(told: EdgeResult, talk: str | None) -> EdgeResult:
        if told.code is None:
            return EdgeResult(as_rest(told.value, talk))
        return EdgeResult(None, told.code, next((name for name, camel in CAMEL.items() if camel == told.field), None))


class RestEdge:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def create(self, **fields: Any) -> EdgeResult:
        return self._told(await self.caller.http.post(PLACE, json=fields), 201)

    async def decide(self, ident: str, status: str, _talk: str | None = None) -> EdgeResult:
        return self._told(await self.caller.http.patch(f"{PLACE}/{ident}/status", json={"status": status}), 200)

    async def listed(self, talk: str, status: str | None = None) -> list[Any]:
        wanted = {"conversation_id": talk} | ({"status": status} if status else {})
        answer = await self.caller.http.get(PLACE, params=wanted)
        assert answer.status_code == 200, answer.text
        found: list[Any] = answer.json()
        return found

    @staticmethod
    def _told(response: httpx.Response, status: int) -> EdgeResult:
        answer = response.json()
        if response.status_code == status:
            return EdgeResult(answer)
        assert 400 <= response.status_code < 500, answer
        detail = answer["detail"]
        where = detail[0]["loc"][-1] if isinstance(detail, list) else None
        return EdgeResult(None, CODES.get(answer["code"], answer["code"].upper()), where)


Edge = GraphQLEdge | RestEdge


def as_rest(shown: dict[str, Any], talk: str | None) -> dict[str, Any]:
    """A suggestion of GraphQL in the shape of REST."""
    told = {name: shown[camel] for name, camel in CAMEL.items() if camel in shown}
    told |= {"id": shown["id"], "conversation_id": talk, "document_id": shown["note"]["id"]}
    told |= {"message_id": shown["message"] and shown["message"]["id"], "operation": shown["operation"]}
    return told | {
        "status": shown["status"].lower(),
        "created_at": shown["createdAt"],
        "updated_at": shown["updatedAt"],
    }


@dataclass
class Talk:
    """A conversation with one reply, and the input of a suggestion there."""

    caller: Caller
    note: str
    id: str
    message: str

    @property
    def place(self) -> dict[str, Any]:
        return {"conversation_id": self.id, "document_id": self.note}

    def edit(self, text: str = "Better", **more: Any) -> dict[str, Any]:
        return {**self.place, "suggested_text": text, **more}


async def talk_of(caller: Caller) -> Talk:
    note = (await caller.data(CREATE, input={"title": "Draft", "contentText": "Good"}))["createNote"]["id"]
    talk = (await caller.data(CONVERSE, note=note))["createConversation"]["id"]
    *_, done = await caller.subscribed(ASK, c=talk, m="Well?")
    return Talk(caller, note, talk, done["data"]["ask"]["messageId"])


@pytest.fixture
async def talk(tenant: Tenant) -> Talk:
    return await talk_of(await tenant.user())


@pytest.fixture(params=[GraphQLEdge, RestEdge], ids=["graphql", "rest"])
def edge(request: pytest.FixtureRequest, talk: Talk) -> Edge:
    made: Edge = request.param(talk.caller)
    return made


@pytest.fixture
def other(edge: Edge) -> Edge:
    return RestEdge(edge.caller) if isinstance(edge, GraphQLEdge) else GraphQLEdge(edge.caller)


def whole(talk: Talk, made: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The suggestion as REST shows it, with what the server made."""
    assert str(uuid.UUID(made["id"])) == made["id"]
    return {
        "id": made["id"],
        **talk.place,
        "message_id": None,
        "status": "proposed",
        "operation": "replace_full",
        "original_text": None,
        "suggested_text": "Better",
        "position_start": None,
        "position_end": None,
        "created_at": made["created_at"],
        "updated_at": made["updated_at"],
        **more,
    }


async def test_all_that_can_be_said(edge: Edge, other: Edge, talk: Talk) -> None:
    least = (await edge.create(**talk.edit())).thing
    assert least == whole(talk, least)
    assert least["created_at"] == least["updated_at"]
    assert await edge.listed(talk.id) == await other.listed(talk.id) == [least]
    more = {"message_id": talk.message, "original_text": "Go🙂d", "position_start": 0, "position_end": 4}
    full = (await edge.create(**talk.edit("Much\nbetter 🙂", **more))).thing
    assert full == whole(talk, full, suggested_text="Much\nbetter 🙂", **more)
    first, second = await other.listed(talk.id)
    assert second == full
    assert first == {**least, "status": "superseded", "updated_at": first["updated_at"]}
    assert first["updated_at"] > least["updated_at"]
    nulls: dict[str, Any] = dict.fromkeys(("message_id", "original_text", "position_start", "position_end"))
    plain = (await edge.create(**talk.edit(**nulls))).thing
    assert plain == whole(talk, plain)


@pytest.mark.parametrize("status", ["applied", "dismissed", "superseded"])
async def test_what_becomes_of_one(edge: Edge, other: Edge, talk: Talk, status: str) -> None:
    made = (await edge.create(**talk.edit())).thing
    assert (await edge.decide(made["id"], "proposed", talk.id)).thing == made
    decided = (await edge.decide(made["id"], status, talk.id)).thing
    assert decided == {**made, "status": status, "updated_at": decided["updated_at"]}
    assert decided["updated_at"] > made["updated_at"]
    # The same again is no change, at either edge.
    for same in (edge, other):
        assert (await same.decide(made["id"], status, talk.id)).thing == decided
    for different in {"proposed", "applied", "dismissed", "superseded"} - {status}:
        assert await edge.decide(made["id"], different) == EdgeResult(code="CONFLICT")
    assert await edge.listed(talk.id) == [decided]
    # A newer one leaves alone what is decided.
    newer = (await edge.create(**talk.edit())).thing
    assert await other.listed(talk.id) == [decided, newer]


async def test_lists_by_status(edge: Edge, talk: Talk) -> None:
    wanted = ["applied", "dismissed", "superseded", "applied"]
    made = []
    for number, status in enumerate(wanted):
        one = (await edge.create(**talk.edit(str(number)))).thing
        made.append((await edge.decide(one["id"], status, talk.id)).thing)
    assert await edge.listed(talk.id) == made
    for status in ("proposed", "applied", "dismissed", "superseded"):
        assert await edge.listed(talk.id, status) == [one for one in made if one["status"] == status]


TOO_LONG = "x" * (MAX_SUGGESTED_TEXT + 1)
BAD: list[tuple[str, dict[str, Any]]] = [
    ("suggested_text", {"suggested_text": ""}),
    ("suggested_text", {"suggested_text": TOO_LONG}),
    ("suggested_text", {"suggested_text": "a\x00b"}),
    ("original_text", {"original_text": TOO_LONG}),
    ("original_text", {"original_text": "\x00"}),
    ("position_start", {"position_start": -1}),
    ("position_start", {"position_start": MAX_POSITION + 1}),
    ("position_end", {"position_end": -1}),
    ("position_end", {"position_end": MAX_POSITION + 1}),
    ("position_end", {"position_start": 5, "position_end": 4}),
    ("conversation_id", {"conversation_id": "nothing"}),
    ("document_id", {"document_id": "nothing"}),
    ("document_id", {"document_id": NOBODY}),
    ("message_id", {"message_id": "nothing"}),
    ("message_id", {"message_id": NOBODY}),
]


@pytest.mark.parametrize(("field", "given"), BAD, ids=[f"{field} {str(given)[:60]}" for field, given in BAD])
async def test_what_is_refused(edge: Edge, talk: Talk, field: str, given: dict[str, Any]) -> None:
    assert await edge.create(**{**talk.edit(), **given}) == EdgeResult(code="BAD_USER_INPUT", field=field)
    assert await edge.listed(talk.id) == []


async def test_what_is_of_another_conversation_is_refused(edge: Edge, talk: Talk) -> None:
    another = await talk_of(talk.caller)
    assert await edge.create(**talk.edit(document_id=another.note)) == EdgeResult(
        code="BAD_USER_INPUT", field="document_id"
    )
    assert await edge.create(**talk.edit(message_id=another.message)) == EdgeResult(
        code="BAD_USER_INPUT", field="message_id"
    )


async def test_bounds_at_their_edges(edge: Edge, talk: Talk) -> None:
    longest = "x" * MAX_SUGGESTED_TEXT
    positions = {"position_start": MAX_POSITION, "position_end": MAX_POSITION}
    made = (await edge.create(**talk.edit(longest, original_text=longest, **positions))).thing
    assert made == whole(talk, made, suggested_text=longest, original_text=longest, **positions)
    for one in ({"position_start": 7}, {"position_end": 0}, {"original_text": ""}):
        short = (await edge.create(**talk.edit("x", **one))).thing
        assert short == whole(talk, short, suggested_text="x", **one)


async def test_nobody_else_finds_them(edge: Edge, talk: Talk, tenant: Tenant, stranger: Tenant) -> None:
    made = (await edge.create(**talk.edit())).thing
    for caller in (await tenant.user(), await tenant.key(), await stranger.user()):
        theirs = type(edge)(caller)
        assert await theirs.create(**talk.edit()) == EdgeResult(code="NOT_FOUND")
        assert await theirs.decide(made["id"], "applied") == await theirs.decide(NOBODY, "applied")
        assert await theirs.decide(made["id"], "applied") == EdgeResult(code="NOT_FOUND")
    assert await edge.listed(talk.id) == [made]


async def test_who_may_no_more_read_the_note_may_do_nothing(tenant: Tenant) -> None:
    writer, member = await tenant.user(), await tenant.user()
    note = (await writer.data(CREATE, input={"title": "Ours"}))["createNote"]["id"]
    talk = (await member.data(CONVERSE, note=note))["createConversation"]["id"]
    edit = {"conversation_id": talk, "document_id": note, "suggested_text": "Better"}
    made = (await RestEdge(member).create(**edit)).thing
    await sql(tenant.database, "UPDATE notes SET visibility = 'private' WHERE id = :note", note=note)
    for edge in (GraphQLEdge(member), RestEdge(member)):
        assert await edge.create(**edit) == EdgeResult(code="FORBIDDEN")
        assert await edge.decide(made["id"], "applied") == EdgeResult(code="FORBIDDEN")
    refusals = [
        await member.http.post(PLACE, json=edit),
        await member.http.get(PLACE, params={"conversation_id": talk}),
        await member.http.patch(f"{PLACE}/{made['id']}/status", json={"status": "applied"}),
    ]
    message = "You do not have access to this document."
    assert [(answer.status_code, answer.json()) for answer in refusals] == [
        (403, {"detail": message, "error": message, "code": "forbidden"})
    ] * 3


async def test_of_many_at_once_one_is_open(edge: Edge, other: Edge, talk: Talk) -> None:
    edges = [edge, other] * 10
    made = [told.thing for told in await asyncio.gather(*(one.create(**talk.edit()) for one in edges))]
    listed = await edge.listed(talk.id)
    assert {one["id"] for one in listed} == {one["id"] for one in made}
    assert [one["status"] for one in listed] == ["superseded"] * 19 + ["proposed"]


async def test_its_owner_hears_of_each_change_and_nobody_else(edge: Edge, talk: Talk, tenant: Tenant) -> None:
    bystander = await tenant.key()
    async with listening(talk.caller, EVENTS) as heard, listening(bystander, EVENTS) as unheard:
        first = (await edge.create(**talk.edit("first"))).thing["id"]
        await edge.decide(first, "proposed")
        second = (await edge.create(**talk.edit("second"))).thing["id"]
        await edge.decide(second, "applied")
        await edge.decide(second, "applied")
        # Each shows the suggestion as it is when it is read, so only what it becomes for good is sure.
        told = [await event(heard) for _ in range(4)]
        kinds = [(one["type"], one["suggestion"]["id"], one["suggestion"]["suggestedText"]) for one in told]
        assert kinds == [
            ("SUGGESTION_CREATED", first, "first"),
            ("SUGGESTION_UPDATED", first, "first"),
            ("SUGGESTION_CREATED", second, "second"),
            ("SUGGESTION_UPDATED", second, "second"),
        ]
        for one in told:
            assert {name: one[name] for name in ("noteId", "conversation", "message", "actor")} == {
                "noteId": talk.note,
                "conversation": {"id": talk.id},
                "message": None,
                "actor": {"id": str(talk.caller.user_id)},
            }
        own = await talk_of(bystander)
        mine = (await type(edge)(bystander).create(**own.edit())).thing["id"]
        assert (await event(unheard))["suggestion"]["id"] == mine


async def test_they_go_with_what_they_belong_to(edge: Edge, talk: Talk) -> None:
    caller = talk.caller
    made = (await edge.create(**talk.edit(message_id=talk.message))).thing
    of_message = "query($id: ID!) { node(id: $id) { ... on Message { suggestions { id } } } }"
    assert (await caller.data(of_message, id=talk.message))["node"] == {"suggestions": [{"id": made["id"]}]}
    await caller.data("mutation($c: ID!) { deleteConversation(id: $c) }", c=talk.id)
    assert await edge.decide(made["id"], "applied") == EdgeResult(code="NOT_FOUND")
    assert await caller.data("query($id: ID!) { node(id: $id) { id } }", id=made["id"]) == {"node": None}
    another = await talk_of(caller)
    made = (await edge.create(**another.edit())).thing
    await caller.data("mutation($n: ID!) { deleteNote(id: $n) }", n=another.note)
    assert await edge.decide(made["id"], "applied") == EdgeResult(code="NOT_FOUND")
