"""Running a reply: from the question to its one terminal event, with no connection held while the model talks."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict, replace
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from models.base import Record
from models.conversation import MessageState
from resolvers.core.ports.agents import DEFAULT_FAILURE_TEXT, ReplyFailed, ReplyRequest
from resolvers.core.ports.ai import Passage
from resolvers.replies.ending import GONE, STOPPED, close, exists
from resolvers.replies.events import ReplyEvent
from resolvers.replies.publisher import Telling
from resolvers.replies.titles import give_title
from resolvers.search.query import MAX_QUERY, search

log = structlog.get_logger()

FINISH_ATTEMPTS, FINISH_PAUSE = 18, 2.0
"""How often the end of a reply is written to a database that is away, and the longest pause in seconds: about as long
in all as the lease, after which the chore ends it as lost."""


class Run:
    def __init__(self, question: ReplyRequest, conversation: Record, *, grounded: bool) -> None:
        self._ctx = question.ctx
        self._question = question
        self._conversation = conversation
        self.id = question.reply_id
        self._grounded = grounded
        self.telling = Telling(self._ctx.bus, self.id, self._ctx.reply_runner.rest)
        # What was saved last, and when (the loop's clock); kept by Runs.
        self.saved_length, self.saved_at = 0, asyncio.get_running_loop().time()
        self._answering: asyncio.Task[None] | None = None
        self._reason: str | None = None

    def interrupt(self, reason: str) -> None:
        """Ends the answer, not the run: what was said so far is stored, and the followers hear the reason."""
        self._reason = self._reason or reason
        if self._answering is not None:
            self._answering.cancel()

    def subscribe(self, after: int) -> AsyncGenerator[ReplyEvent, None]:
        """The events after number `after`, up to the terminal one."""
        return self.telling.log.follow(after)

    async def run(self) -> None:
        self._answering = asyncio.create_task(self._answer())
        if self._reason is not None:
            self._answering.cancel()
        state, error = MessageState.FAILED, None
        try:
            await self._answering
            state = MessageState.DONE
        except asyncio.CancelledError:
            error = self._reason or STOPPED
        except ReplyFailed as failure:
            log.warning("reply.failed", message_id=str(self.id), error=str(failure))
            error = failure.reason
        except Exception:
            # Whatever went wrong, the reply must get its end; the cause is for the log only.
            log.exception("reply.failed", message_id=str(self.id), model_id=self._question.model_id)
            error = DEFAULT_FAILURE_TEXT
        try:
            await self._finish(state, error)
        finally:
            self.telling.log.end()

    async def _answer(self) -> None:
        """Streams the answer to the followers."""
        await self._ctx.agents.answer(await self._prepared(), self.telling)

    async def _prepared(self) -> ReplyRequest:
        """The question with the passages that were found for it."""
        return replace(self._question, passages=await self._passages() if self._grounded else [])

    async def _passages(self) -> list[Passage]:
        question = self._question
        found = await search(
            self._ctx, question.text[:MAX_QUERY], first=self._ctx.limits.passages, note_id=question.note_id
        )
        return [
            Passage(hit.document_title, hit.chunk_index, str(hit.document_id), hit.chunk_text) for hit in found.hits
        ]

    async def _finish(self, state: MessageState, error: str | None) -> None:
        """Commits the reply, then ends its stream: what followers hear is what is stored."""
        values = {"content": self.telling.said, "tool_calls": self.telling.tools, **self._used(complete=error is None)}
        for attempt in range(FINISH_ATTEMPTS):
            try:
                async with self._ctx.transaction() as tx:
                    closed = await close(tx, self._conversation, self.id, state=state, error=error, **values)
                break
            except (SQLAlchemyError, OSError) as failure:
                log.warning("reply.finish_failed", message_id=str(self.id), error=str(failure))
                await asyncio.sleep(min(2**attempt / 4, FINISH_PAUSE))
        else:
            # The row's lease runs out, and the chore ends this reply once the database is back.
            return
        if closed is None:
            if await exists(self._ctx, self.id):
                return  # Its lease ran out, and the chore has ended it.
            await self.telling.event("error", content=GONE)
        elif closed.state is MessageState.DONE:
            await self.telling.event("done", content=closed.content)
            if self._conversation.title is None:
                asked = replace(self._question, model_id=closed.model_id)
                self._ctx.reply_runner.spawn(give_title(self._ctx, self._conversation, asked))
        else:
            await self.telling.event("error", content=closed.error)

    def _used(self, *, complete: bool) -> dict[str, Any]:
        """What the provider reported, and the tokens of the text: counted where they were not told, or not to the end
        because the answer was broken off."""
        used, model_id = self.telling.used_by_all, self.telling.model_id or self._question.model_id
        counted = self._ctx.models.count_tokens(model_id, self.telling.said)
        told = used.input_tokens + used.output_tokens > 0
        return {
            "model_id": model_id,
            "usage": asdict(used) if told else None,
            "token_count": used.output_tokens or counted if complete else max(used.output_tokens, counted),
        }
