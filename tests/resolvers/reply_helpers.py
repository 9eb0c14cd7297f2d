"""Helpers of the tests of replies."""

import asyncio
import uuid
from typing import Any

import pytest

from models.base import Record
from models.conversation import ConversationDraft, MessageDraft
from resolvers import replies
from resolvers.conversations import conversations
from resolvers.core.context import Context
from resolvers.core.drafts import parse_draft
from resolvers.core.pagination import PageArguments
from resolvers.search import indexing
from tests.conftest import Services
from tests.resolvers.helpers import page_of, write

LISBON = "The heating in the Lisbon office is broken."


async def begin(ctx: Context, note: Record, title: str | None = "Titled") -> Record:
    return await conversations.create_conversation(ctx, ConversationDraft(note_id=note.id, title=title))


async def ask(ctx: Context, talk: Record, message: str, **fields: Any) -> list[replies.ReplyEvent]:
    """All that the followers of the reply hear."""
    sent = await replies.send(ctx, talk.id, parse_draft(MessageDraft, {"message": message, **fields}))
    async with asyncio.timeout(20):
        return [event async for event in await replies.subscribe(ctx, sent.reply.id)]


async def stored_messages(ctx: Context, talk: Record) -> list[tuple[str, str, str]]:
    rows = (await page_of(conversations.list_messages, ctx, talk.id, PageArguments(first=100))).rows
    return [(row.role.value, row.content, row.state.value) for row in rows]


class SentRequest:
    """What the model was sent for one question."""

    def __init__(self, services: Services, question: str) -> None:
        [self.request] = [one for one in services.llm.requests_with(question) if one.get("stream")]

    @property
    def instructions(self) -> str:
        [requests] = [message["content"] for message in self.request["messages"] if message["role"] == "system"]
        return str(requests)

    @property
    def talk(self) -> list[tuple[str, str]]:
        requests = [(message["role"], message["content"]) for message in self.request["messages"]]
        return [(role, text) for role, text in requests if role != "system"]


@pytest.fixture
def word() -> str:
    """Something that only this test's questions say, by which they are found again."""
    return uuid.uuid4().hex


@pytest.fixture
async def note(me: Context) -> Record:
    note = await write(me, "Facilities <Lisbon>", summary=LISBON)
    await indexing.index(me, note.id)
    return note
