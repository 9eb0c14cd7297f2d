"""Pages of lists below a list: each parent has its own page, total and refusal, all of them read together."""

import asyncio
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert

from models import Message, Role
from models.base import Record
from models.conversation import ConversationDraft, MessageRole, MessageState
from models.note import NoteVisibility
from models.people import InviteDraft
from resolvers.auth import credentials
from resolvers.conversations import conversations
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.pagination import Page, PageArguments
from resolvers.workspaces import invites
from schema import schema
from schema.execution.request import Request
from tests.resolvers.helpers import OwnWorkspace, graphql, make_own_workspace, spoken, statements, with_limits, write

README_EXAMPLE = "{ notes(first: 50) { nodes { title transcripts(first: 10) { nodes { text } } } } }"
THREE_LEVELS = """{ notes(first: 50) { nodes { conversations(first: 2) { totalCount nodes {
  messages(first: 2) { totalCount nodes { content } }
} } } } }"""


@pytest.fixture
async def stranger(ctx: Context) -> OwnWorkspace:
    return await make_own_workspace(ctx)


@pytest.fixture
def rich(own_workspace: OwnWorkspace) -> Context:
    """An admin who may run operations of any cost."""
    return with_limits(
        own_workspace.ctx, points_per_minute=dict.fromkeys(own_workspace.ctx.limits.points_per_minute, 1_000_000)
    )


async def converse(ctx: Context, note: Record, *texts: str) -> Record:
    talk = await conversations.create_conversation(ctx, ConversationDraft(note_id=note.id))
    values = {"workspace_id": ctx.viewer.workspace_id, "conversation_id": talk.id, "state": MessageState.DONE}
    for content in texts:
        async with ctx.transaction() as tx:
            await tx.execute(insert(Message).values(**values, role=MessageRole.USER, content=content))
    return talk


def reads(ran: list[str]) -> list[str]:
    """Without the statement that takes points from the caller's budget."""
    return [statement for statement in ran if "spend(" not in statement]


async def test_the_readmes_example_is_two_statements_for_fifty_notes(rich: Context) -> None:
    for number in range(50):
        await write(rich, str(number), transcripts=spoken(*(f"{number}/{line}" for line in range(12))))
    with statements(rich) as ran:
        found = (await graphql(rich, README_EXAMPLE))["notes"]["nodes"]
    assert len(reads(ran)) == 2, ran
    for note in found:
        assert [one["text"] for one in note["transcripts"]["nodes"]] == [f"{note['title']}/{n}" for n in range(10)]


async def test_each_level_is_one_statement_for_its_pages_and_one_for_its_totals(rich: Context) -> None:
    for number in range(5):
        note = await write(rich, str(number))
        for talk in range(number):
            await converse(rich, note, *(f"{number}/{talk}/{line}" for line in range(talk)))
    with statements(rich) as ran:
        found = (await graphql(rich, THREE_LEVELS))["notes"]["nodes"]
    assert len(reads(ran)) == 5, ran
    totals = [note["conversations"]["totalCount"] for note in found]
    assert totals == [4, 3, 2, 1, 0]
    newest = [[talk["messages"] for talk in note["conversations"]["nodes"]] for note in found]
    assert [[talk["totalCount"] for talk in talks] for talks in newest] == [[3, 2], [2, 1], [1, 0], [0], []]
    assert [one["content"] for one in newest[0][0]["nodes"]] == ["4/3/0", "4/3/1"]


def texts_of(page: Page | Problem) -> list[str]:
    assert isinstance(page, Page)
    return [row.content for row in page.rows]


async def test_every_kind_of_page_is_each_parents_own(me: Context) -> None:
    note = await write(me)
    texts = [["00", "01", "02", "03", "04"], ["10", "11"], []]
    ids = [(await converse(me, note, *messages)).id for messages in texts]

    async def pages(window: PageArguments) -> list[Page]:
        found = await conversations.list_messages(me, ids, window)
        assert list(found) == ids
        return [page for page in found.values() if isinstance(page, Page)]

    firsts = await pages(PageArguments(first=3))
    assert [texts_of(page) for page in firsts] == [["00", "01", "02"], ["10", "11"], []]
    assert [(page.has_previous, page.has_next) for page in firsts] == [(False, True), (False, False), (False, False)]
    assert [await page.total() for page in firsts] == [5, 2, 0]
    lasts = await pages(PageArguments(last=3))
    assert [texts_of(page) for page in lasts] == [["02", "03", "04"], ["10", "11"], []]
    assert [(page.has_previous, page.has_next) for page in lasts] == [(True, False), (False, False), (False, False)]
    # All messages of the second conversation are younger than those of the first.
    middle = firsts[0].cursor(firsts[0].rows[1])
    assert [texts_of(page) for page in await pages(PageArguments(after=middle))] == [
        ["02", "03", "04"],
        ["10", "11"],
        [],
    ]
    assert [texts_of(page) for page in await pages(PageArguments(last=5, before=middle))] == [["00"], [], []]


@pytest.mark.parametrize("field", ["transcripts", "conversations"])
async def test_a_field_that_is_refused_leaves_those_with_other_arguments_alone(me: Context, field: str) -> None:
    note = await write(me, transcripts=spoken("a", "b"))
    query = f"""query($id: ID!) {{ note(id: $id) {{ good: {field}(first: 1) {{ totalCount }}
      bad: {field}(after: "x") {{ totalCount }} }} }}"""
    result = await schema.execute(query, variable_values={"id": str(note.id)}, context_value=Request(me))
    assert [error.path for error in result.errors or ()] == [["note", "bad"]]


async def test_different_arguments_are_different_pages(me: Context) -> None:
    note = await write(me, transcripts=spoken("a", "b"))
    query = """query($id: ID!) { note(id: $id) { one: transcripts(first: 1) { nodes { text } }
      two: transcripts(search: "b") { nodes { text } } } }"""
    found = (await graphql(me, query, id=str(note.id)))["note"]
    assert [[one["text"] for one in found[name]["nodes"]] for name in ("one", "two")] == [["a"], ["b"]]


async def test_a_parent_that_may_not_be_read_is_refused_alone(
    own_workspace: OwnWorkspace, stranger: OwnWorkspace
) -> None:
    """Of two notes the second is private to its creator; of two conversations the second is somebody else's."""
    member = await own_workspace.member()
    open_note, closed = (
        await write(own_workspace.ctx),
        await write(own_workspace.ctx, visibility=NoteVisibility.PRIVATE),
    )
    mine, theirs = await converse(member, open_note, "mine"), await converse(own_workspace.ctx, open_note, "theirs")
    notes_found = await conversations.list_conversations(member, [open_note.id, closed.id], PageArguments())
    assert [row.id for row in of(notes_found, open_note.id).rows] == [mine.id]
    assert code(notes_found, closed.id) is ErrorCode.FORBIDDEN
    assert (
        code(await conversations.list_conversations(stranger.ctx, [open_note.id], PageArguments()), open_note.id)
        is ErrorCode.NOT_FOUND
    )
    talks_found = await conversations.list_messages(member, [mine.id, theirs.id], PageArguments())
    assert texts_of(talks_found[mine.id]) == ["mine"]
    assert code(talks_found, theirs.id) is ErrorCode.NOT_FOUND


def of(pages: Any, parent: UUID) -> Page:
    page = pages[parent]
    assert isinstance(page, Page)
    return page


def code(pages: Any, parent: UUID) -> StrEnum:
    problem = pages[parent]
    assert isinstance(problem, Problem)
    return problem.code


async def test_invites_are_refused_where_the_viewer_is_no_admin(own_workspace: OwnWorkspace, ctx: Context) -> None:
    """An admin of one workspace, a member of the second, an outsider to the third."""
    me, second, third = own_workspace.ctx, await make_own_workspace(ctx), await make_own_workspace(ctx)
    async with ctx.transaction() as tx:
        await credentials.add_member(tx, second.ctx.viewer.workspace_id, me.viewer.user_id, Role.MEMBER)
    for one in (me, second.ctx, third.ctx):
        await invites.create_invite(one, InviteDraft(email="someone@people.example"))
    ids = [one.viewer.workspace_id for one in (me, second.ctx, third.ctx)]
    found = await invites.list_invites(me, ids, PageArguments())
    assert len(of(found, ids[0]).rows) == 1
    assert [code(found, ident) for ident in ids[1:]] == [ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND]


async def test_totals_are_counted_once_also_when_the_first_caller_is_cancelled(me: Context) -> None:
    notes = [await write(me, str(number)) for number in range(3)]
    for note in notes:
        await converse(me, note)
    found = await conversations.list_conversations(me, [note.id for note in notes], PageArguments())
    with statements(me) as ran:
        first, *others = [asyncio.ensure_future(of(found, note.id).total()) for note in notes]
        await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.gather(*others) == [1, 1]
        assert await of(found, notes[0].id).total() == 1
    assert sum("count(" in statement for statement in ran) <= 2, ran
