"""Conversations and their lists."""

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import insert

from models import Message
from models.base import Record
from models.conversation import ConversationDraft, ConversationRename, MessageRole, MessageState
from resolvers.conversations import conversations
from resolvers.core.context import Context
from resolvers.core.drafts import parse_draft
from resolvers.core.errors import ErrorCode
from resolvers.core.pagination import PageArguments
from tests.resolvers.helpers import page_of, refused, write


async def begin(ctx: Context, note: Record, title: str | None = None) -> Record:
    return await conversations.create_conversation(ctx, ConversationDraft(note_id=note.id, title=title))


async def say(ctx: Context, talk: Record, *texts: str) -> None:
    """Messages that all bear the same time, as those of one transaction do."""
    parents = {"workspace_id": talk.workspace_id, "conversation_id": talk.id}
    said = {"role": MessageRole.USER, "state": MessageState.DONE}
    async with ctx.transaction() as tx:
        for text in texts:
            await tx.execute(insert(Message).values(**parents, **said, content=text))


async def test_a_new_conversation(me: Context) -> None:
    note = await write(me)
    talk = await begin(me, note)
    assert talk._asdict() == {
        "id": talk.id,
        "workspace_id": me.viewer.workspace_id,
        "note_id": note.id,
        "user_id": me.viewer.user_id,
        "title": None,
        "created_at": talk.created_at,
        "updated_at": talk.created_at,
    }
    assert (await conversations.get_conversation(me, talk.id))._asdict() == talk._asdict()
    with refused(ErrorCode.NOT_FOUND):
        await conversations.create_conversation(me, ConversationDraft(note_id=uuid.uuid4()))


async def test_the_list_is_in_the_order_of_last_use(me: Context) -> None:
    note = await write(me)
    talks = [await begin(me, note, str(number)) for number in range(6)]
    await begin(me, await write(me), "of another note")
    await conversations.touch_conversation(me, talks[1].id)
    await conversations.rename_conversation(me, talks[4].id, "four")
    expected = ["four", "1", "5", "3", "2", "0"]
    titles: list[str] = []
    after = None
    while True:
        page = await page_of(conversations.list_conversations, me, note.id, PageArguments(first=4, after=after))
        titles += [row.title for row in page.rows]
        if not page.has_next:
            break
        after = page.cursor(page.rows[-1])
    assert (titles, await page.total()) == (expected, 6)
    back = await page_of(conversations.list_conversations, me, note.id, PageArguments(last=2))
    assert [row.title for row in back.rows] == expected[-2:]
    windows = [await conversations.list_conversations_by_offset(me, note.id, 4, offset) for offset in (0, 4, 6)]
    assert [[row.title for row in rows] for rows, _ in windows] == [expected[:4], expected[4:], []]
    assert {total for _, total in windows} == {6}


async def test_the_list_is_ones_own(me: Context, own_workspace: Any) -> None:
    note = await write(me)
    member = await own_workspace.member()
    mine, theirs = await begin(me, note), await begin(member, note)
    for ctx, own, foreign in ((me, mine, theirs), (member, theirs, mine)):
        assert [
            row.id for row in (await page_of(conversations.list_conversations, ctx, note.id, PageArguments())).rows
        ] == [own.id]
        for call in (
            conversations.get_conversation(ctx, foreign.id),
            conversations.touch_conversation(ctx, foreign.id),
            conversations.rename_conversation(ctx, foreign.id, "x"),
            conversations.delete_conversation(ctx, foreign.id),
            page_of(conversations.list_messages, ctx, foreign.id, PageArguments()),
        ):
            with refused(ErrorCode.NOT_FOUND):
                await call


async def test_rename_and_touch(me: Context) -> None:
    talk = await begin(me, await write(me))
    renamed = await conversations.rename_conversation(me, talk.id, "A title")
    assert {**renamed._asdict(), "updated_at": None} == {**talk._asdict(), "title": "A title", "updated_at": None}
    touched = await conversations.touch_conversation(me, talk.id)
    assert {**touched._asdict(), "updated_at": None} == {**renamed._asdict(), "updated_at": None}
    assert touched.updated_at > renamed.updated_at > talk.updated_at


async def test_the_last_of_many_changes_at_once_is_the_last_used(me: Context) -> None:
    talk = await begin(me, await write(me))
    done = await asyncio.gather(*(conversations.touch_conversation(me, talk.id) for _ in range(12)))
    assert (await conversations.get_conversation(me, talk.id)).updated_at == max(row.updated_at for row in done)


@pytest.mark.parametrize("title", ["", "x" * 256, "\x00", "\ud800", 5, None])
def test_titles_that_are_refused(title: object) -> None:
    with refused(ErrorCode.BAD_USER_INPUT, "title"):
        parse_draft(ConversationRename, {"title": title})
    if title is not None:
        with refused(ErrorCode.BAD_USER_INPUT, "title"):
            parse_draft(ConversationDraft, {"noteId": str(uuid.uuid4()), "title": title})


async def test_the_longest_title_is_kept(me: Context) -> None:
    assert (await begin(me, await write(me), "🙂" * 255)).title == "🙂" * 255


async def test_messages_are_paged_oldest_first(me: Context) -> None:
    talk = await begin(me, await write(me))
    await say(me, talk, *(str(number) for number in range(7)))
    await say(me, talk, "7", "8")
    expected = [str(number) for number in range(9)]
    forward: list[str] = []
    view = PageArguments(first=4)
    while True:
        page = await page_of(conversations.list_messages, me, talk.id, view)
        forward += [row.content for row in page.rows]
        if not page.has_next:
            break
        view = PageArguments(first=4, after=page.cursor(page.rows[-1]))
        if len(forward) == 4:
            await say(me, talk, "said meanwhile")
    assert (forward, await page.total()) == ([*expected, "said meanwhile"], 10)
    last = await page_of(conversations.list_messages, me, talk.id, PageArguments(last=3))
    assert [row.content for row in last.rows] == ["7", "8", "said meanwhile"]
    before = await page_of(
        conversations.list_messages, me, talk.id, PageArguments(last=2, before=last.cursor(last.rows[0]))
    )
    assert [row.content for row in before.rows] == ["5", "6"]
    rows, total = await conversations.list_messages_by_offset(me, talk.id, 3, 6)
    assert ([row.content for row in rows], total) == (["6", "7", "8"], 10)
    rows, total = await conversations.list_messages_by_offset(me, talk.id, None, 0)
    assert (len(rows), total) == (10, 10)


@pytest.mark.parametrize(
    ("limit", "offset", "field"), [(0, 0, "limit"), (101, 0, "limit"), (1, -1, "offset"), (None, -1, "offset")]
)
async def test_windows_that_are_refused(me: Context, limit: int | None, offset: int, field: str) -> None:
    note = await write(me)
    talk = await begin(me, note)
    with refused(ErrorCode.BAD_USER_INPUT, field):
        await conversations.list_messages_by_offset(me, talk.id, limit, offset)
    if limit is not None:
        with refused(ErrorCode.BAD_USER_INPUT, field):
            await conversations.list_conversations_by_offset(me, note.id, limit, offset)


async def test_delete_takes_the_messages(me: Context) -> None:
    note = await write(me)
    talk, kept = await begin(me, note), await begin(me, note)
    await say(me, talk, "gone")
    await say(me, kept, "stays")
    [message] = (await page_of(conversations.list_messages, me, talk.id, PageArguments())).rows
    await conversations.delete_conversation(me, talk.id)
    assert await conversations.find_messages(me, [message.id]) == {}
    assert [row.id for row in (await page_of(conversations.list_conversations, me, note.id, PageArguments())).rows] == [
        kept.id
    ]
    assert [row.content for row in (await page_of(conversations.list_messages, me, kept.id, PageArguments())).rows] == [
        "stays"
    ]
    for call in (conversations.get_conversation(me, talk.id), conversations.delete_conversation(me, talk.id)):
        with refused(ErrorCode.NOT_FOUND):
            await call
