"""Suggestions as agents make them and loaders read them: one open at a time, gone with what they belong to."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import delete, insert, select
from sqlmodel import col

from models import Event, EventType, Message, Suggestion
from models.base import Record
from models.conversation import (
    MAX_SUGGESTED_TEXT,
    ConversationDraft,
    MessageRole,
    MessageState,
    SuggestionDraft,
    SuggestionStatus,
)
from models.note import NoteVisibility
from resolvers import notes
from resolvers.conversations import conversations, suggestions
from resolvers.conversations.suggestions import MAX_LISTED
from resolvers.core.context import Context
from resolvers.core.drafts import parse_draft
from resolvers.core.errors import ErrorCode, Problem
from resolvers.replies import ReplyEvent
from schema.execution.request import Request
from schema.types.events import ReplyDocumentChange, reply_events
from tests.resolvers.helpers import OwnWorkspace, graphql, refused, set_columns, statements, write

APPLIED, DISMISSED, SUPERSEDED = SuggestionStatus.APPLIED, SuggestionStatus.DISMISSED, SuggestionStatus.SUPERSEDED
PROPOSED = SuggestionStatus.PROPOSED


async def begin(ctx: Context, note: Record | None = None) -> Record:
    return await conversations.create_conversation(ctx, ConversationDraft(note_id=(note or await write(ctx)).id))


async def answered(ctx: Context, talk: Record) -> Record:
    """A message of the conversation, as a reply that proposes something."""
    parents = {"workspace_id": talk.workspace_id, "conversation_id": talk.id}
    said = {"role": MessageRole.ASSISTANT, "state": MessageState.DONE, "content": "Here."}
    async with ctx.transaction() as tx:
        return (await tx.execute(insert(Message).values(**parents, **said).returning(Message))).one()


async def propose(ctx: Context, talk: Record, message: Record, text: str = "Better", **more: Any) -> Record:
    given = {"original_text": "Good", "position_start": 0, "position_end": 4, "note_id": talk.note_id} | more
    return await suggestions.propose_suggestion(
        ctx, conversation_id=talk.id, message_id=message.id, proposed_text=text, **given
    )


async def suggest(ctx: Context, talk: Record, text: str = "Better") -> Record:
    given = {"conversationId": talk.id, "noteId": talk.note_id, "suggestedText": text}
    return await suggestions.create_suggestion(ctx, parse_draft(SuggestionDraft, given))


async def states(ctx: Context, talk: Record) -> list[tuple[str, SuggestionStatus]]:
    return [(row.suggested_text, row.status) for row in await suggestions.list_suggestions(ctx, talk.id)]


async def told(ctx: Context) -> list[tuple[EventType, uuid.UUID, dict[str, Any]]]:
    """The events of the suggestions in the viewer's workspace."""
    kinds = col(Event.type).in_([EventType.SUGGESTION_CREATED, EventType.SUGGESTION_UPDATED])
    query = select(Event).where(col(Event.workspace_id) == ctx.viewer.workspace_id, kinds).order_by(col(Event.seq))
    async with ctx.read() as tx:
        return [(row.type, row.owner_id, row.payload) for row in await tx.execute(query)]


async def test_what_an_agent_proposes(me: Context) -> None:
    talk = await begin(me)
    message = await answered(me, talk)
    row = await propose(me, talk, message)
    assert row._asdict() == {
        "id": row.id,
        "workspace_id": me.viewer.workspace_id,
        "conversation_id": talk.id,
        "note_id": talk.note_id,
        "message_id": message.id,
        "status": PROPOSED,
        "operation": "replace_full",
        "original_text": "Good",
        "suggested_text": "Better",
        "position_start": 0,
        "position_end": 4,
        "created_at": row.created_at,
        "updated_at": row.created_at,
    }
    assert [one._asdict() for one in await suggestions.list_suggestions(me, talk.id)] == [row._asdict()]
    payload = {"conversation": str(talk.id), "suggestion": str(row.id)}
    assert await told(me) == [(EventType.SUGGESTION_CREATED, me.viewer.user_id, payload)]


async def test_what_an_agent_can_not_propose(me: Context) -> None:
    talk, other = await begin(me), await begin(me)
    message = await answered(me, talk)
    bad: dict[str, list[dict[str, Any]]] = {
        "suggestedText": [{"text": ""}, {"text": "x" * (MAX_SUGGESTED_TEXT + 1)}, {"text": "\x00"}],
        "originalText": [{"original_text": "x" * (MAX_SUGGESTED_TEXT + 1)}],
        "positionStart": [{"position_start": -1}],
        "positionEnd": [{"position_start": 5}],
        "noteId": [{"note_id": other.note_id}, {"note_id": uuid.uuid4()}],
        "messageId": [{"message": await answered(me, other)}, {"message": SimpleNamespace(id=uuid.uuid4())}],
    }
    for field, given in bad.items():
        for one in given:
            with refused(ErrorCode.BAD_USER_INPUT, field):
                await propose(me, talk, **({"message": message} | one))
    assert await states(me, talk) == []
    assert await told(me) == []


async def test_what_no_text_may_hold_is_left_out_of_an_agents(me: Context) -> None:
    talk = await begin(me)
    row = await propose(me, talk, await answered(me, talk), "a\x00b\ud83d", original_text="\x00c")
    assert (row.suggested_text, row.original_text) == ("ab?", "c")


async def test_of_many_at_once_one_is_open_and_it_is_the_last(me: Context) -> None:
    talk = await begin(me)
    made = await asyncio.gather(*(suggest(me, talk, str(number)) for number in range(20)))
    rows = await suggestions.list_suggestions(me, talk.id)
    assert {row.id for row in rows} == {row.id for row in made}
    assert [row.status for row in rows] == [SUPERSEDED] * 19 + [PROPOSED]
    assert [row.created_at for row in rows] == sorted({row.created_at for row in rows})
    events = await told(me)
    created = [payload["suggestion"] for kind, _, payload in events if kind is EventType.SUGGESTION_CREATED]
    updated = [payload["suggestion"] for kind, _, payload in events if kind is EventType.SUGGESTION_UPDATED]
    # Each is told of as open before it is told of as superseded, in the order of the list.
    assert created == [str(row.id) for row in rows]
    assert updated == created[:-1]


async def test_of_different_decisions_at_once_one_counts(me: Context) -> None:
    talk = await begin(me)
    row = await suggest(me, talk)
    wanted = [APPLIED, DISMISSED, SUPERSEDED] * 4
    answers = await asyncio.gather(
        *(suggestions.set_suggestion_status(me, row.id, status) for status in wanted), return_exceptions=True
    )
    decided = [one for one in answers if not isinstance(one, BaseException)]
    [status] = {one.status for one in decided}
    assert len(decided) == 4
    problems = [one for one in answers if isinstance(one, Problem)]
    assert [one.code for one in problems] == [ErrorCode.CONFLICT] * 8
    assert [kind for kind, _, _ in await told(me)] == [EventType.SUGGESTION_CREATED, EventType.SUGGESTION_UPDATED]
    assert await states(me, talk) == [("Better", status)]


async def test_proposing_deciding_and_deleting_at_once(me: Context) -> None:
    """None waits for another that waits for it, and all that goes wrong is that the note is gone."""
    for _ in range(10):
        note = await write(me)
        talk = await begin(me, note)
        row = await suggest(me, talk)
        work: list[Coroutine[Any, Any, object]] = [suggest(me, talk, str(number)) for number in range(3)]
        work += [suggestions.set_suggestion_status(me, row.id, status) for status in (APPLIED, DISMISSED)]
        work.insert(2, notes.delete_note(me, note.id))
        work.insert(4, conversations.delete_conversation(me, talk.id))
        answers = await asyncio.gather(*work, return_exceptions=True)
        failed = [one for one in answers if isinstance(one, BaseException)]
        assert {one.code for one in failed if isinstance(one, Problem)} <= {ErrorCode.NOT_FOUND, ErrorCode.CONFLICT}
        assert not [one for one in failed if not isinstance(one, Problem)]


async def test_a_list_is_its_newest(me: Context) -> None:
    talk, other = await begin(me), await begin(me)
    message = await answered(me, talk)
    parents = {"workspace_id": talk.workspace_id, "conversation_id": talk.id, "note_id": talk.note_id}
    async with me.transaction() as tx:
        for number in range(MAX_LISTED + 5):
            said = {"suggested_text": str(number), "status": DISMISSED if number % 2 else APPLIED}
            await tx.execute(insert(Suggestion).values(**parents, **said, message_id=message.id))
    mine = await suggest(me, other, "of another")
    expected = [str(number) for number in range(5, MAX_LISTED + 5)]
    assert [text for text, _ in await states(me, talk)] == expected
    dismissed = await suggestions.list_suggestions(me, talk.id, DISMISSED)
    assert [row.suggested_text for row in dismissed] == [str(number) for number in range(1, MAX_LISTED + 5, 2)]
    found = await suggestions.find_suggestions_of_messages(me, [message.id])
    assert [row.suggested_text for row in found[message.id]] == expected
    both = await suggestions.find_suggestions_of_conversations(
        me, [(talk.id, None), (other.id, None), (other.id, APPLIED)]
    )
    assert [row.suggested_text for row in both[talk.id, None]] == expected
    assert both[other.id, None] == [mine]
    assert (other.id, APPLIED) not in both


LISTS = """query($note: ID!) { note(id: $note) { conversations(first: 50) { nodes {
  suggestions { id message { id } note { id } } open: suggestions(status: PROPOSED) { id }
} } } }"""
MESSAGES = """query($talk: ID!) { conversation(id: $talk) {
  messages(first: 50) { nodes { suggestions { id message { id } note { id } } } }
} }"""


async def test_lists_are_as_many_statements_for_any_number(me: Context) -> None:
    note = await write(me)
    for wanted in (1, 5):
        for _ in range(wanted):
            talk = await begin(me, note)
            made = [await propose(me, talk, await answered(me, talk)) for _ in range(wanted)]
            await propose(me, talk, await answered(me, talk))
        with statements(me) as asked:
            found = (await graphql(me, LISTS, note=str(note.id)))["note"]["conversations"]["nodes"]
        assert all(one["open"] == [{"id": one["suggestions"][-1]["id"]}] for one in found)
        # All of the conversations, and their open ones.
        assert len([statement for statement in asked if "FROM suggestions" in statement]) == 2
        with statements(me) as asked:
            found = (await graphql(me, MESSAGES, talk=str(talk.id)))["conversation"]["messages"]["nodes"]
        assert [one["suggestions"][0]["id"] for one in found[:-1]] == [str(row.id) for row in made]
        assert len([statement for statement in asked if "FROM suggestions" in statement]) == 1


async def test_they_go_with_what_they_belong_to(me: Context) -> None:
    talk = await begin(me)
    message = await answered(me, talk)
    row = await propose(me, talk, message)
    async with me.transaction() as tx:
        await tx.execute(delete(Message).where(col(Message.id) == message.id))
    assert (await suggestions.get_suggestion(me, row.id)).message_id is None
    query = "query($id: ID!) { node(id: $id) { ... on Suggestion { message { id } } } }"
    assert await graphql(me, query, id=str(row.id)) == {"node": {"message": None}}
    await conversations.delete_conversation(me, talk.id)
    with refused(ErrorCode.NOT_FOUND):
        await suggestions.get_suggestion(me, row.id)
    note = await write(me)
    row = await suggest(me, await begin(me, note))
    await notes.delete_note(me, note.id)
    with refused(ErrorCode.NOT_FOUND):
        await suggestions.get_suggestion(me, row.id)


async def test_they_need_access_to_the_note_at_the_time(own_workspace: OwnWorkspace) -> None:
    writer, member = own_workspace.ctx, await own_workspace.member()
    note = await write(writer)
    talk = await begin(member, note)
    row = await suggest(member, talk)
    await set_columns(writer, note, visibility=NoteVisibility.PRIVATE)
    for refusing in (
        lambda: suggest(member, talk),
        lambda: suggestions.set_suggestion_status(member, row.id, APPLIED),
        lambda: suggestions.get_suggestion(member, row.id),
        lambda: suggestions.list_suggestions(member, talk.id),
    ):
        with refused(ErrorCode.FORBIDDEN):
            await refusing()
    assert await suggestions.find_suggestions(member, [row.id]) == {}
    assert await suggestions.find_suggestions_of_conversations(member, [(talk.id, None)]) == {}
    await set_columns(writer, note, visibility=NoteVisibility.WORKSPACE)
    assert (await suggestions.find_suggestions(member, [row.id]))[row.id] == row
    # Whoever may manage the note has no more part in the conversation than anybody else.
    for refusing in (
        lambda: suggest(writer, talk),
        lambda: suggestions.set_suggestion_status(writer, row.id, APPLIED),
        lambda: suggestions.get_suggestion(writer, row.id),
        lambda: suggestions.list_suggestions(writer, talk.id),
    ):
        with refused(ErrorCode.NOT_FOUND):
            await refusing()
    assert await suggestions.find_suggestions(writer, [row.id]) == {}
    assert await suggestions.find_suggestions_of_conversations(writer, [(talk.id, None)]) == {}


async def test_a_change_whose_suggestion_is_gone_does_not_end_the_stream(me: Context) -> None:
    talk = await begin(me)
    row = await suggest(me, talk)
    reply = uuid.uuid4()

    async def events(*idents: uuid.UUID) -> AsyncGenerator[ReplyEvent, None]:
        yield ReplyEvent(1, "delta", reply, content="x")
        for seq, ident in enumerate(idents, 2):
            yield ReplyEvent(seq, "document_change", reply, document_change={"suggestion_id": str(ident)})
        yield ReplyEvent(9, "error", reply, content="gone")

    info: Any = SimpleNamespace(context=Request(me))
    told = [event async for event in reply_events(info, events(uuid.uuid4(), row.id))]
    assert [type(event).__name__ for event in told] == ["ReplyDelta", "ReplyDocumentChange", "ReplyFailed"]
    [change] = [event for event in told if isinstance(event, ReplyDocumentChange)]
    assert change.suggestion == row
    await conversations.delete_conversation(me, talk.id)
    left = [event async for event in reply_events(info, events(row.id))]
    assert [type(event).__name__ for event in left] == ["ReplyDelta", "ReplyFailed"]


@pytest.mark.parametrize("status", [APPLIED, DISMISSED, SUPERSEDED])
async def test_a_decision_writes_nothing_to_the_note(me: Context, status: SuggestionStatus) -> None:
    note = await write(me, content_text="Good")
    row = await suggest(me, await begin(me, note))
    before = await notes.get_note(me, note.id)
    assert (await suggestions.set_suggestion_status(me, row.id, status)).status is status
    assert await notes.get_note(me, note.id) == before
