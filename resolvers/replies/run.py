"""Running a reply: from the question to its one terminal event, with no connection held while the model talks."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy import update as change_rows
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from models import Conversation, EventType, Message
from models.base import Record
from models.conversation import MessageState
from resolvers.context import Context, Transaction
from resolvers.events import publish
from resolvers.intelligence import Passage
from resolvers.replies.agents import Finished, Question, Text, ToolUse, answer, history
from resolvers.replies.events import ReplyEvent
from resolvers.replies.runs import GONE, STOPPED
from resolvers.replies.titles import give_title
from resolvers.search import MAX_QUERY, search

log = structlog.get_logger()

FINISH_ATTEMPTS = 6
FAILED = "The model could not answer. Please try again."
LOST = "The server lost this reply before it was complete."


class Run:
    def __init__(
        self, question: Question, conversation: Record, user_message_id: UUID, reply_id: UUID, *, grounded: bool
    ) -> None:
        self._ctx = question.ctx
        self._question = question
        self._conversation = conversation
        self._user_message_id = user_message_id
        self.id = reply_id
        self._grounded = grounded
        self._seq = 0
        self._text: list[str] = []
        self.length = 0
        # What was saved last, and when (the loop's clock); kept by Runs.
        self.saved_length, self.saved_at = 0, asyncio.get_running_loop().time()
        self._tools: dict[str, dict[str, Any]] = {}
        self._answering: asyncio.Task[int] | None = None
        self._reason = STOPPED

    def interrupt(self, reason: str) -> None:
        """Ends the answer, not the run: what was said so far is stored, and the followers hear the reason."""
        self._reason = reason
        if self._answering is not None:
            self._answering.cancel()

    async def run(self) -> None:
        self._answering = asyncio.create_task(self._answer())
        state, error, tokens = MessageState.FAILED, None, None
        try:
            tokens = await self._answering
            state = MessageState.DONE
        except asyncio.CancelledError:
            error = self._reason
        except Exception:
            # Whatever went wrong, the reply must get its end; the cause is for the log only.
            log.exception("reply.failed", message_id=str(self.id), model_id=self._question.model_id)
            error = FAILED
        await self._finish(state, error, tokens)

    async def _answer(self) -> int:
        """Streams the answer to the followers; returns the tokens of its text."""
        tokens = 0
        async for piece in answer(await self._prepared()):
            match piece:
                case Text(content=text):
                    self._text.append(text)
                    self.length += len(text)
                    await self._say("delta", content=text)
                case ToolUse():
                    await self._say("tool_call", tool_call=self._note_tool(piece))
                case Finished(output_tokens=tokens):
                    pass
        return tokens or self._ctx.models.count_tokens(self._question.model_id, self.said)

    @property
    def said(self) -> str:
        return "".join(self._text)

    async def _prepared(self) -> Question:
        """The question with the conversation so far and the passages that were found for it."""
        passages = await self._passages() if self._grounded else []
        return replace(self._question, passages=passages, history=history(await self._earlier()))

    async def _passages(self) -> list[Passage]:
        question = self._question
        found = await search(
            self._ctx, question.text[:MAX_QUERY], first=self._ctx.limits.passages, note_id=question.note_id
        )
        return [
            Passage(hit.document_title, hit.chunk_index, str(hit.document_id), hit.chunk_text) for hit in found.hits
        ]

    async def _earlier(self) -> list[Record]:
        """The messages before this question, cut to half of the model's window, oldest first."""
        query = (
            select(Message)
            .where(
                col(Message.conversation_id) == self._conversation.id,
                col(Message.id).not_in([self._user_message_id, self.id]),
            )
            .order_by(col(Message.created_at).desc(), col(Message.id).desc())
            .limit(200)
        )
        async with self._ctx.read() as tx:
            newest_first = (await tx.execute(query)).all()
        model_id = self._question.model_id
        left = next(card.context_window for card in self._ctx.models.cards if card.id == model_id) // 2
        kept: list[Record] = []
        for message in newest_first:
            left -= message.token_count or self._ctx.models.count_tokens(model_id, message.content)
            if left < 0:
                break
            kept.append(message)
        return kept[::-1]

    def _note_tool(self, use: ToolUse) -> dict[str, Any]:
        if not use.finished:
            self._tools[use.id] = {
                "id": use.id,
                "tool_name": use.name,
                "text_offset": self.length,
                "arguments": use.arguments,
                "result_summary": None,
                "result": None,
            }
            return self._tools[use.id]
        call = self._tools[use.id]
        # A new value: the event of the beginning may still be on its way out.
        self._tools[use.id] = {**call, "result": use.result, "result_summary": summary(use.result)}
        return self._tools[use.id]

    async def _say(self, kind: str, *, content: str | None = None, tool_call: dict[str, Any] | None = None) -> None:
        self._seq += 1
        event = ReplyEvent(self._seq, kind, self.id, content=content, tool_call=tool_call)
        await self._ctx.bus.publish_reply(self.id, event.encode(), last=event.terminal)

    async def _finish(self, state: MessageState, error: str | None, tokens: int | None) -> None:
        """Commits the reply, then ends its stream: what followers hear is what is stored."""
        values = {
            "state": state,
            "content": self.said,
            "token_count": tokens,
            "tool_calls": list(self._tools.values()),
            "error": error,
            "lease_until": None,
        }
        for attempt in range(FINISH_ATTEMPTS):
            try:
                closed = await self._commit(values)
                break
            except (SQLAlchemyError, OSError) as failure:
                log.warning("reply.finish_failed", message_id=str(self.id), error=str(failure))
                await asyncio.sleep(2**attempt / 4)
        else:
            # The row's lease runs out, and the chore ends this reply once the database is back.
            return
        if closed is None:
            if await exists(self._ctx, self.id):
                return  # Its lease ran out, and the chore has ended it.
            await self._say("error", content=GONE)
        elif error is None:
            await self._say("done", content=closed.content)
            if self._conversation.title is None:
                self._ctx.runs.spawn(give_title(self._ctx, self._conversation, self._question))
        else:
            await self._say("error", content=error)

    async def _commit(self, values: dict[str, Any]) -> Record | None:
        async with self._ctx.transaction() as tx:
            closed = await close(tx, self.id, **values)
            if closed is not None:
                await finished(tx, self._conversation, self.id)
        return closed


async def close(tx: Transaction, message_id: UUID, **values: Any) -> Record | None:
    """Writes to a running reply; None when it is not running any more."""
    running = (col(Message.id) == message_id, col(Message.state) == MessageState.STREAMING)
    written = change_rows(Message).where(*running).values(**values, updated_at=func.now()).returning(Message)
    return (await tx.execute(written)).one_or_none()


async def finished(tx: Transaction, conversation: Record, message_id: UUID) -> None:
    await publish(
        tx,
        None,
        EventType.REPLY_FINISHED,
        workspace_id=conversation.workspace_id,
        note_id=conversation.note_id,
        owner_id=conversation.user_id,
        conversation=str(conversation.id),
        message=str(message_id),
    )


async def exists(ctx: Context, message_id: UUID) -> bool:
    async with ctx.read() as tx:
        return (await tx.execute(select(col(Message.id)).where(col(Message.id) == message_id))).first() is not None


def summary(result: Any) -> str:
    """A tool's result in a few words."""
    if isinstance(result, list):
        return f"{len(result)} results"
    return str(result)[:120]


async def close_lost(ctx: Context, limit: int = 100) -> int:
    """Ends the replies whose process is gone, with what they had said. Returns how many."""
    lost = (
        select(col(Message.id))
        .where(col(Message.state) == MessageState.STREAMING, col(Message.lease_until) < func.now())
        .order_by(col(Message.lease_until))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    async with ctx.transaction() as tx:
        ids = (await tx.execute(lost)).scalars().all()
        for message_id in ids:
            closed = await close(tx, message_id, state=MessageState.FAILED, error=LOST, lease_until=None)
            if closed is not None:
                query = select(Conversation).where(col(Conversation.id) == closed.conversation_id)
                await finished(tx, (await tx.execute(query)).one(), message_id)
    for message_id in ids:
        last = await ctx.bus.last_reply_event(message_id)
        seq = ReplyEvent.decode(last).seq if last else 0
        event = ReplyEvent(seq + 1, "error", message_id, content=LOST)
        await ctx.bus.publish_reply(message_id, event.encode(), last=True)
    return len(ids)
