"""Titles of conversations, written after the first exchange."""

import asyncio

from models.base import Record
from models.conversation import MessageDraft
from resolvers import replies
from resolvers.conversations import conversations
from resolvers.core.context import Context
from resolvers.core.ports.agents import ReplyRequest
from resolvers.replies.titles import title_conversation
from tests.conftest import Services
from tests.resolvers.reply_helpers import ask, begin, note, stored_messages, word
from tests.support.llm import TITLE_TASK, Script

__all__ = ["note", "word"]


async def titled(ctx: Context, talk: Record) -> str:
    async with asyncio.timeout(30):
        while (title := (await conversations.get_conversation(ctx, talk.id)).title) is None:
            await asyncio.sleep(0.02)
    return str(title)


async def test_the_first_exchange_gets_a_title(me: Context, services: Services, note: Record, word: str) -> None:
    talk = await begin(me, note, None)
    await ask(me, talk, f"First {word}")
    assert await titled(me, talk) == "Scripted Title Of This Talk"
    await ask(me, talk, f"Second {word}")
    await asyncio.sleep(0.2)
    title_requests = [one for one in services.llm.requests_with(word) if TITLE_TASK in one["messages"][0]["content"]]
    assert [message["content"] for message in title_requests[0]["messages"] if message["role"] == "user"] == [
        f"First {word}"
    ]
    assert len(title_requests) == 1


async def test_a_title_of_the_user_stays(me: Context, services: Services, note: Record, word: str) -> None:
    titles = [await begin(me, note, "Mine"), await begin(me, note, None)]
    await ask(me, titles[0], f"A {word}")
    sent = await replies.send(me, titles[1].id, MessageDraft(message=f"B {word}"))
    await conversations.rename_conversation(me, titles[1].id, "Ours")
    _ = [event async for event in await replies.subscribe(me, sent.reply.id)]
    await asyncio.sleep(0.3)
    assert [(await conversations.get_conversation(me, talk.id)).title for talk in titles] == ["Mine", "Ours"]


async def test_a_failed_exchange_gets_no_title(me: Context, services: Services, note: Record, word: str) -> None:
    services.llm.on(word, Script(status=400))
    talk = await begin(me, note, None)
    [failed] = await ask(me, talk, f"Hm? {word}")
    services.llm.scripts.pop(word)
    assert (failed.type, await stored_messages(me, talk)) == (
        "error",
        [("user", f"Hm? {word}", "done"), ("assistant", "", "failed")],
    )
    assert [one for one in services.llm.requests_with(word) if TITLE_TASK in one["messages"][0]["content"]] == []
    await ask(me, talk, f"Again {word}")
    assert await titled(me, talk) == "Scripted Title Of This Talk"


async def test_a_title_without_a_model_is_the_beginning_of_the_message(me: Context, note: Record) -> None:
    talk = await begin(me, note, None)
    text = "  What comes after the sixtieth character is too much for a title of a talk"
    question = ReplyRequest(me, text, note.id, None, "no such model", None, talk.id, talk.id, talk.id)
    await title_conversation(me, talk, question)
    assert await titled(me, talk) == "What comes after the sixtieth character is too much for a"
