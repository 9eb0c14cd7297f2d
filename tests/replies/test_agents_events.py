"""Every event of every agent, whole, through both edges."""

from typing import Any

import pytest

from tests.conftest import Services, Tenant
from tests.replies.agent_conversation import AgentConversation, begin, camel, without_scores
from tests.support.llm import Call, Script

LISBON = "The heating in the Lisbon office is broken."
TEXT = "Rain. More rain & <b>wind</b>."
DOCUMENT = {"content_text": TEXT, "selection": {"from": 0, "to": 5, "text": "Rain."}}
Events = list[dict[str, Any]]


@pytest.fixture
async def talk(tenant: Tenant, services: Services) -> AgentConversation:
    return await begin(await tenant.key(), services, summary=LISBON)


def delta(text: str) -> dict[str, Any]:
    return {"type": "delta", "content": text}


def call(ident: str, name: str, arguments: dict[str, Any], offset: int, *result: Any) -> dict[str, Any]:
    """Returns the event of a tool call; `result` is its summary and its value, absent when the call begins."""
    summary, value = result or (None, None)
    fields = {"id": ident, "tool_name": name, "text_offset": offset, "result_summary": summary, "result": value}
    return {"type": "tool_call", "call": {**fields, "arguments": arguments}}


def over_rest(events: Events) -> Events:
    """Returns the events as a REST client gets them."""
    empty = dict.fromkeys(("type", "content", "message_id", "document_change", "tool_name", "tool_call"))
    result = []
    for event in events:
        present = {name: value for name, value in event.items() if name in empty}
        if "call" in event:
            tool_call = {name: value for name, value in event["call"].items() if name != "arguments"}
            present |= {"tool_name": tool_call["tool_name"], "tool_call": tool_call}
        result.append({**empty, **present})
    return result


def over_graphql(events: Events) -> Events:
    """Returns the events as a GraphQL client gets them."""
    result: Events = []
    for event in events:
        match event["type"]:
            case "delta":
                result.append({"__typename": "ReplyDelta", "content": event["content"]})
            case "tool_call":
                result.append({"__typename": "ReplyToolCall", "call": camel(event["call"])})
            case "document_change":
                result.append({"__typename": "ReplyDocumentChange", "suggestion": suggested(event["document_change"])})
            case "done":
                calls = {e["call"]["id"]: camel(e["call"]) for e in events if "call" in e}
                message = {"id": "ID", "content": event["content"], "state": "DONE", "toolCalls": list(calls.values())}
                result.append({"__typename": "ReplyDone", "message": message})
    return result


def suggested(change: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "SUGGESTION",
        "status": "PROPOSED",
        "operation": "replace_full",
        "originalText": change["original_text"],
        "suggestedText": change["proposed_text"],
        "positionStart": change["position_start"],
        "positionEnd": change["position_end"],
    }


def done(text: str) -> dict[str, Any]:
    return {"type": "done", "content": text, "message_id": "ID"}


def substituted(events: Events, talk: AgentConversation) -> Events:
    """With words for what is another at every call: ids, and the scores of a search."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return without_scores(value) if value and "score" in value[0] else [plain(one) for one in value]
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items() if name != "messageId"}
        return {ids["message"]: "ID", ids["suggestion"]: "SUGGESTION"}.get(value, value) if value else value

    ids = {"message": events[-1].get("message_id") or events[-1]["messageId"], "suggestion": None}
    for event in events:
        change = event.get("document_change") or event.get("suggestion") or {}
        ids["suggestion"] = change.get("suggestion_id") or change.get("id") or ids["suggestion"]
    assert {event["messageId"] for event in events if "messageId" in event} <= {ids["message"]}
    return [plain(event) for event in events]


async def check_both_edges(talk: AgentConversation, expected: Events, agent: str | None = None, **context: Any) -> None:
    """Asks twice, through each edge, and compares all that is told."""
    rest_kind, graphql_kind = ({}, {}) if agent is None else ({"agent_type": agent}, {"agentType": agent.upper()})
    result = await talk.rest(document_id=talk.note, **rest_kind, **context)
    assert substituted(result, talk) == over_rest(expected)
    result = await talk.graphql(**camel(context), **graphql_kind)
    assert substituted(result, talk) == over_graphql(expected)


async def test_a_plain_chat_streams_its_text(talk: AgentConversation) -> None:
    expected = [delta("All "), delta("is "), delta("well."), done("All is well.")]
    await check_both_edges(talk, expected)


async def test_the_general_agent_streams_tool_calls_and_a_proposal(talk: AgentConversation, services: Services) -> None:
    services.llm.on(
        talk.word,
        Script(["Let me ", "look. "], calls=[Call("c1", "get_document_content", width=1)]),
        Script([], calls=[Call("c2", "get_selection_content")]),
        Script(["I propose: "], calls=[Call("c3", "propose_document_replacement", '{"proposed_text": "Sün. "}', 3)]),
        Script(["Done", "."]),
    )
    change = {
        "operation": "replace_full",
        "proposed_text": "Sün. ",
        "original_text": TEXT,
        "position_start": 0,
        "position_end": len(TEXT),
        "suggestion_id": "SUGGESTION",
    }
    proposal: tuple[str, str, dict[str, Any], int] = (
        "c3",
        "propose_document_replacement",
        {"proposed_text": "Sün. "},
        24,
    )
    selected = {"text": "Rain.", "from": 0, "to": 5}
    expected = [
        delta("Let me "),
        delta("look. "),
        call("c1", "get_document_content", {}, 13),
        call("c1", "get_document_content", {}, 13, f"{len(TEXT)} characters", {"text": TEXT}),
        call("c2", "get_selection_content", {}, 13),
        call("c2", "get_selection_content", {}, 13, "5 characters", selected),
        delta("I propose: "),
        call(*proposal),
        {"type": "document_change", "document_change": change},
        call(*proposal, "Proposed", "Proposed. The user decides whether to apply it."),
        delta("Done"),
        delta("."),
        done("Let me look. I propose: Done."),
    ]
    await check_both_edges(talk, expected, "general", document_context=DOCUMENT)


async def test_the_analyst_uses_every_reading_tool(talk: AgentConversation, services: Services) -> None:
    counts = {"count_words": 4, "count_characters": 30, "count_paragraphs": 1, "count_sentences": 2}
    scripts = [Script([], calls=[Call(f"n{number}", name)]) for number, name in enumerate(counts)]
    reading = Script(["Then: "], calls=[Call("r", "estimate_reading_time", '{"words_per_minute": 2}')])
    query = '{"query": "heating", "exclude_current_document": false, "top_k": 1}'
    searching = Script([], calls=[Call("s", "search_workspace_context", query, 2)])
    services.llm.on(talk.word, *scripts, reading, searching, Script(["Broken."]))
    expected: Events = []
    for number, (name, value) in enumerate(counts.items()):
        unit = name.removeprefix("count_")
        summary = f"{value} {unit}" if value > 1 else f"{value} {unit[:-1]}"
        expected += [call(f"n{number}", name, {}, 0), call(f"n{number}", name, {}, 0, summary, value)]
    pace, search_arguments = (
        {"words_per_minute": 2},
        {"query": "heating", "exclude_current_document": False, "top_k": 1},
    )
    hit = {"title": "Facilities", "chunk_index": 0, "text": f"Facilities\n\n{LISBON}", "note_id": talk.note}
    expected += [
        delta("Then: "),
        call("r", "estimate_reading_time", pace, 6),
        call("r", "estimate_reading_time", pace, 6, "2 minutes", {"words": 4, "minutes": 2}),
        call("s", "search_workspace_context", search_arguments, 6),
        call("s", "search_workspace_context", search_arguments, 6, "1 passage", [hit]),
        delta("Broken."),
        done("Then: Broken."),
    ]
    await check_both_edges(talk, expected, "analyst", document_context=DOCUMENT)


async def test_two_calls_of_one_tool_in_one_step_have_their_own_ids(
    talk: AgentConversation, services: Services
) -> None:
    """Their arguments arrive mixed, piece by piece; each keeps its own, and its own result."""
    queries = {"x": '{"query": "heating", "top_k": 1}', "y": '{"query": "", "top_k": 20}'}
    calls = [Call(ident, "search_workspace_context", text, 4) for ident, text in queries.items()]
    services.llm.on(talk.word, Script(["So: "], calls=calls), Script(["There."]))
    first, *rest, last, end = substituted(await talk.rest(agent_type="general"), talk)
    hit = {"title": "Facilities", "chunk_index": 0, "text": f"Facilities\n\n{LISBON}", "note_id": talk.note}
    refusal = "`query` must have between 1 and 2000 characters."
    begun = [call(ident, "search_workspace_context", {}, 4) for ident in queries]
    finished = [
        call("x", "search_workspace_context", {}, 4, "1 passage", [hit]),
        call("y", "search_workspace_context", {}, 4, refusal, {"error": refusal}),
    ]
    # Which of the two ends first is chance.
    ended = sorted(rest[2:], key=lambda event: str(event["tool_call"]["id"]))
    assert [first, *rest[:2], *ended, last, end] == over_rest(
        [delta("So: "), *begun, *finished, delta("There."), done("So: There.")]
    )
    [_, model_message, *answers] = talk.requests[-1]["messages"][1:]
    assert {one["id"]: one["function"]["arguments"] for one in model_message["tool_calls"]} == {
        "x": '{"query":"heating","top_k":1}',
        "y": '{"query":"","top_k":20}',
    }
    assert [answer["tool_call_id"] for answer in answers] == ["x", "y"]
    assert answers[1]["content"] == '{"error":"' + refusal + '"}'
