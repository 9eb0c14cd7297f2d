"""Running a reply, from the request to its terminal event. No connection is held while the model writes."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict, replace
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from models.base import Record
from models.conversation import MessageState
from resolvers.core.failures import report_failure
from resolvers.core.ports.agents import DEFAULT_FAILURE_TEXT, AgentFailed, ReplyRequest
from resolvers.core.ports.ai import Passage
from resolvers.core.retry import retry_outages
from resolvers.replies.ending import DELETED, STOPPED, close, message_exists
from resolvers.replies.events import ReplyEvent
from resolvers.replies.publisher import ReplyPublisher
from resolvers.replies.titles import title_conversation
from resolvers.search.query import MAX_QUERY, search

log = structlog.get_logger()

STORE_ATTEMPTS = 18
"""How often the end of a reply is written while the database is away: for about as long as the reply's lease. After
that a worker ends the reply as lost."""
FIRST_STORE_WAIT_SECONDS, LONGEST_STORE_WAIT_SECONDS = 0.25, 2.0


class ReplyRun:
    """One reply that this process runs. `grounded`: whether passages are searched for the request."""

    def __init__(self, request: ReplyRequest, conversation: Record, *, grounded: bool) -> None:
        self._ctx = request.ctx
        self._request = request
        self._conversation = conversation
        self.message_id = request.reply_id
        self._grounded = grounded
        self.publisher = ReplyPublisher(self._ctx.bus, self.message_id, self._ctx.reply_runner.pause_seconds)
        # The last checkpoint: the length of the stored text, and the event loop's time.
        self.saved_length, self.saved_at = 0, asyncio.get_running_loop().time()
        self._agent_task: asyncio.Task[None] | None = None
        self._interruption: str | None = None

    def interrupt(self, reason: str) -> None:
        """Stops the agent. The reply then ends with the text so far and this reason."""
        self._interruption = self._interruption or reason
        if self._agent_task is not None:
            self._agent_task.cancel()

    def subscribe(self, after: int) -> AsyncGenerator[ReplyEvent, None]:
        """Yields the events after number `after`, until the terminal one."""
        return self.publisher.buffer.subscribe(after)

    async def run(self) -> None:
        """Runs the reply to its end, which is stored and published, whatever happens on the way."""
        self._agent_task = asyncio.create_task(self._answer())
        if self._interruption is not None:
            self._agent_task.cancel()
        state, error = MessageState.FAILED, None
        try:
            await self._agent_task
            state = MessageState.DONE
        except asyncio.CancelledError:
            error = self._interruption or STOPPED
        except AgentFailed as failure:
            log.warning("reply.failed", message_id=str(self.message_id), error=str(failure))
            error = failure.reason
        except Exception as failure:  # noqa: BLE001 (the reply must end; the text of the error is for the log only)
            report_failure("reply.failed", failure, message_id=str(self.message_id), model_id=self._request.model_id)
            error = DEFAULT_FAILURE_TEXT
        try:
            await self._end(state, error)
        except Exception as failure:  # noqa: BLE001 (the lease runs out, and a worker ends this reply)
            report_failure("reply.end_failed", failure, message_id=str(self.message_id))
        finally:
            self.publisher.buffer.close()

    async def _answer(self) -> None:
        passages = await self._find_passages() if self._grounded else []
        await self._ctx.agents.answer(replace(self._request, passages=passages), self.publisher)

    async def _find_passages(self) -> list[Passage]:
        query, limit = self._request.text[:MAX_QUERY], self._ctx.limits.passages
        results = await search(self._ctx, query, first=limit, note_id=self._request.note_id)
        return [
            Passage(hit.document_title, hit.chunk_index, str(hit.document_id), hit.chunk_text) for hit in results.hits
        ]

    async def _end(self, state: MessageState, error: str | None) -> None:
        """Stores the reply, then publishes its terminal event: subscribers get what is stored."""
        row = await self._store(state, error)
        if row is None:
            # Either a worker has ended the reply after its lease ran out, or the conversation was deleted.
            if not await message_exists(self._ctx, self.message_id):
                await self.publisher.publish("error", content=DELETED)
        elif row.state is MessageState.DONE:
            await self.publisher.publish("done", content=row.content)
            if self._conversation.title is None:
                request = replace(self._request, model_id=row.model_id)
                self._ctx.reply_runner.spawn(title_conversation(self._ctx, self._conversation, request))
        else:
            await self.publisher.publish("error", content=row.error)

    async def _store(self, state: MessageState, error: str | None) -> Record | None:
        values = {"content": self.publisher.text, "tool_calls": self.publisher.tool_calls}
        values |= self._usage(complete=error is None)

        async def store() -> Record | None:
            async with self._ctx.transaction() as tx:
                return await close(tx, self._conversation, self.message_id, state=state, error=error, **values)

        return await retry_outages(
            "reply.end",
            store,
            attempts=STORE_ATTEMPTS,
            first_wait=FIRST_STORE_WAIT_SECONDS,
            longest_wait=LONGEST_STORE_WAIT_SECONDS,
            # A timeout or a deadlock ends by itself too, and a complete answer must not be lost to it.
            also=(SQLAlchemyError,),
        )

    def _usage(self, *, complete: bool) -> dict[str, Any]:
        """Returns the model, the usage that the provider reported, and the tokens of the text.

        The tokens are estimated if the provider reported none, or not all because the answer was interrupted.
        """
        publisher = self.publisher
        usage, model_id = publisher.total_usage, publisher.model_id or self._request.model_id
        estimate = self._ctx.models.count_tokens(model_id, publisher.text)
        is_reported = usage.input_tokens + usage.output_tokens > 0
        return {
            "model_id": model_id,
            "usage": asdict(usage) if is_reported else None,
            "token_count": usage.output_tokens or estimate if complete else max(usage.output_tokens, estimate),
        }
