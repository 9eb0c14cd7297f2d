"""The tools: whose rights they have, what they refuse, and how a model that errs is answered."""

import threading
from typing import Any

import pytest

from models import Role
from resolvers.agents.chat import MAX_REQUESTS, MAX_TOOL_CALLS
from tests.conftest import Services, Tenant
from tests.replies.agent_conversation import AgentConversation, begin
from tests.replies.model_requests import tool_result
from tests.support.llm import Call, Script
from tests.test_main_job import CONVERSE, CREATE, indexed

CONTENT = "query($id: ID!) { note(id: $id) { revision contentText } }"
HIDE = "mutation($id: ID!) { updateNote(id: $id, input: {visibility: PRIVATE}) { id } }"
SUGGESTIONS = """query($id: ID!) { conversation(id: $id) {
  suggestions { status suggestedText originalText positionStart positionEnd message { id } }
} }"""
PROPOSE = "propose_document_replacement"


@pytest.fixture
async def talk(tenant: Tenant, services: Services) -> AgentConversation:
    return await begin(await tenant.key(), services, summary="A summary.")


def results(events: list[dict[str, Any]]) -> list[tuple[str, str, Any]]:
    """What the calls gave back, in the order of the calls' ends."""
    calls = [event["tool_call"] for event in events if event["type"] == "tool_call"]
    begun = [call["id"] for call in calls if call["result_summary"] is None]
    finished = [call for call in calls if call["result_summary"] is not None]
    assert sorted(begun) == sorted(call["id"] for call in finished)
    return [(call["id"], call["result_summary"], call["result"]) for call in finished]


async def used(talk: AgentConversation, *calls: Call, **body: Any) -> list[tuple[str, str, Any]]:
    """The results of calls that the model makes one after the other."""
    talk.services.llm.on(talk.word, *(Script([], calls=[call]) for call in calls), Script(["Done."]))
    events = await talk.rest(**{"agent_type": "general", **body})
    assert (events[-1]["type"], events[-1]["content"]) == ("done", "Done.")
    return results(events)


async def test_tools_read_the_document_of_the_message_or_else_the_note(tenant: Tenant, services: Services) -> None:
    key, read = await tenant.key(), Call("d", "get_document_content")
    texts = {"userWrittenNote": "Mine.", "summary": "Short.", "enhancedNote": "Long."}
    talk = await begin(key, services, **texts)
    assert await used(talk, read, document_context="Sent.") == [("d", "5 characters", {"text": "Sent."})]
    assert await used(talk, read, document_context="") == [("d", "0 characters", {"text": ""})]
    joined = "Mine.\n\nShort.\n\nLong."
    assert await used(talk, read) == [("d", "20 characters", {"text": joined})]
    talk = await begin(key, services, contentText="The document.", **texts)
    assert await used(talk, read, document_context={}) == [("d", "13 characters", {"text": "The document."})]
    assert await used(talk, Call("s", "get_selection_content")) == [("s", "Nothing is selected", {"text": None})]


async def test_a_document_that_is_too_long_is_cut_and_not_replaced(tenant: Tenant, services: Services) -> None:
    talk = await begin(await tenant.key(), services, contentText="x" * 64_001)
    longer = Call("p", PROPOSE, '{"proposed_text": "Short."}')
    refusal = "The document has more than 64000 characters: it is too long to be replaced as a whole."
    [(_, summary, _), refused] = await used(talk, Call("d", "get_document_content"), longer)
    assert (summary, refused) == ("64,001 characters", ("p", refusal, {"error": refusal}))
    result = talk.requests[1]["messages"][-1]
    assert result == tool_result("d", {"text": "x" * 64_000, "characters_left_out": 1})
    assert (await talk.caller.data(SUGGESTIONS, id=talk.id))["conversation"]["suggestions"] == []


async def test_tools_have_the_current_rights_of_the_viewer(tenant: Tenant, services: Services) -> None:
    member, admin = await tenant.user(), await tenant.user(Role.ADMIN)
    secret = (await admin.data(CREATE, input={"title": "Secret", "summary": "The code is 1234."}))["createNote"]
    note = (await admin.data(CREATE, input={"title": "Open", "contentText": "The code is open."}))["createNote"]
    await admin.data(HIDE, id=secret["id"])
    for created in (secret, note):
        await indexed(admin, created["id"])
    conversation = (await member.data(CONVERSE, note=note["id"]))["createConversation"]
    talk = AgentConversation(member, services, note["id"], conversation["id"])
    search = Call("s", "search_workspace_context", '{"query": "code", "top_k": 20}')
    [(_, summary, [hit])] = await used(talk, search)
    assert (summary, hit["title"]) == ("1 passage", "Open")

    opened = threading.Event()
    calls = [Call("d", "get_document_content"), Call("w", "count_words"), search]
    services.llm.on(talk.word, Script(["Let me ", "look."], calls=calls, gate=opened), Script(["Done."]))
    path = f"/api/v1/ai/conversations/{talk.id}/stream"
    body = {"message": f"Hm? {talk.word}", "agent_type": "general"}
    async with member.sse("POST", path, json=body) as events:
        async for _ in events:
            if not opened.is_set():
                await admin.data(HIDE, id=note["id"])
                opened.set()
    # Whether or not its follower may still hear it: this is all that the model learned.
    answers = [message["content"] for message in talk.requests[-1]["messages"] if message["role"] == "tool"][-3:]
    unreadable = '{"error":"The document can\'t be read any more."}'
    assert answers == [unreadable, unreadable, '{"error":"You do not have access to this note."}']


async def test_refused_proposals_can_be_corrected(tenant: Tenant, services: Services) -> None:
    talk = await begin(await tenant.key(), services, contentText="Old <text>.")
    long = "x" * 64_001
    texts = ["", " \\n", long, "New &lt; \\u0000text."]
    calls = await used(
        talk, *(Call(f"p{number}", PROPOSE, f'{{"proposed_text": "{t}"}}', 999) for number, t in enumerate(texts))
    )
    empty = "`proposed_text` is empty: it must be the whole new text of the document."
    too_long = "`proposed_text` has 64001 characters: it may have 64000 at most."
    assert calls == [
        ("p0", empty, {"error": empty}),
        ("p1", empty, {"error": empty}),
        ("p2", too_long, {"error": too_long}),
        ("p3", "Proposed", "Proposed. The user decides whether to apply it."),
    ]
    [_, reply] = await talk.messages()
    assert (await talk.caller.data(SUGGESTIONS, id=talk.id))["conversation"]["suggestions"] == [
        {
            "status": "PROPOSED",
            "suggestedText": "New &lt; text.",
            "originalText": "Old <text>.",
            "positionStart": 0,
            "positionEnd": 11,
            "message": {"id": reply["id"]},
        }
    ]
    # An agent never writes: that is for the editor, once the user has decided.
    note = (await talk.caller.data(CONTENT, id=talk.note))["note"]
    assert note == {"revision": 1, "contentText": "Old <text>."}


async def test_two_proposals_in_one_step_are_stored_in_their_order(talk: AgentConversation, services: Services) -> None:
    calls = [Call(name, PROPOSE, f'{{"proposed_text": "{name}"}}') for name in ("first", "second")]
    services.llm.on(talk.word, Script([], calls=calls), Script())
    events = await talk.rest(agent_type="general")
    assert [(event["type"], (event["tool_call"] or {}).get("id")) for event in events[:6]] == [
        ("tool_call", "first"),
        ("tool_call", "second"),
        ("document_change", None),
        ("tool_call", "first"),
        ("document_change", None),
        ("tool_call", "second"),
    ]
    rows = (await talk.caller.data(SUGGESTIONS, id=talk.id))["conversation"]["suggestions"]
    assert [(one["status"], one["suggestedText"]) for one in rows] == [
        ("SUPERSEDED", "first"),
        ("PROPOSED", "second"),
    ]


async def test_only_the_conversations_note_can_be_replaced(talk: AgentConversation) -> None:
    other = (await talk.caller.data(CREATE, input={"title": "Other"}))["createNote"]
    refusal = "The conversation is about another note."
    calls = await used(talk, Call("p", PROPOSE, '{"proposed_text": "New."}'), document_id=other["id"])
    assert calls == [("p", refusal, {"error": refusal})]


INVALID = "The arguments were not valid."
WRONG: list[tuple[str, str, str, Any]] = [
    ("nothing", "{}", "There is no such tool.", str),
    (PROPOSE, "{}", INVALID, [("missing", ["proposed_text"])]),
    (PROPOSE, '{"proposed_text": 5}', INVALID, [("string_type", ["proposed_text"])]),
    ("search_workspace_context", '{"query": "x", "top_k": 21}', INVALID, [("less_than_equal", ["top_k"])]),
    ("estimate_reading_time", '{"words_per_minute": 0}', INVALID, [("greater_than_equal", ["words_per_minute"])]),
    ("count_words", '{"of": "me"}', INVALID, [("extra_forbidden", ["of"])]),
    ("count_words", '["no object"]', INVALID, list),
    ("count_words", '{"half', INVALID, list),
    ("count_words", '{"nan": NaN, "big": 1e999, "huge": 123456789012345678901234567890}', INVALID, list),
]


@pytest.mark.parametrize(("name", "arguments", "summary", "error"), WRONG)
async def test_wrong_calls_are_answered_and_can_be_corrected(
    talk: AgentConversation, name: str, arguments: str, summary: str, error: Any
) -> None:
    [wrong, right] = await used(talk, Call("x", name, arguments), Call("y", "count_words"), document_context="One.")
    assert (wrong[:2], right) == (("x", summary), ("y", "1 word", 1))
    if isinstance(error, type):
        assert isinstance(wrong[2]["error"], error)
    else:
        assert [(flaw["type"], flaw["loc"]) for flaw in wrong[2]["error"]] == error
    # What is stored is what was told.
    assert (await talk.messages())[1]["tool_calls"][0]["result"] == wrong[2]


async def test_a_model_that_never_stops_calling_tools_is_stopped(talk: AgentConversation, services: Services) -> None:
    services.llm.on(talk.word, Script(["x"], calls=[Call("a", "nothing")]))
    events = await talk.rest(agent_type="analyst")
    assert [event["type"] for event in events].count("error") == 1
    assert (events[-1]["type"], events[-1]["content"]) == ("error", "The model took too many steps without an answer.")
    assert len(talk.requests) == MAX_REQUESTS
    [_, reply] = await talk.messages()
    assert (reply["content"], len(reply["tool_calls"])) == ("x" * MAX_REQUESTS, MAX_REQUESTS)


@pytest.mark.parametrize("ids", [[f"c{number}" for number in range(MAX_TOOL_CALLS + 1)], ["same", "same"]])
async def test_a_step_beyond_the_limit_of_tool_calls_is_refused(
    talk: AgentConversation, services: Services, ids: list[str]
) -> None:
    """Too many calls, or calls that can't be told apart: none is made."""
    services.llm.on(talk.word, Script(["x"], calls=[Call(ident, "count_words") for ident in ids]))
    events = await talk.rest(agent_type="analyst")
    assert [event["type"] for event in events] == ["delta", "error"]
    assert len(talk.requests) == 1
