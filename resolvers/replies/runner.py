"""The replies that this process is running: they are kept alive, saved as they grow, and ended with the process."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import ARRAY, ColumnElement, Text, Uuid, column, exists, func, literal
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Conversation, Message, Note
from models.conversation import MessageState
from resolvers.auth.access import note_readable_by_user
from resolvers.core.database import Database
from resolvers.replies.backpressure import Pressure
from resolvers.replies.ending import CANCELLED, REVOKED, STOPPED

if TYPE_CHECKING:
    from resolvers.replies.run import Run

log = structlog.get_logger()

T = TypeVar("T")

CHECKPOINT = 1.0
"""Seconds between two looks at which partial texts must be saved."""
TOGETHER = 100
"""Replies that one statement saves."""
CROWD = 64
"""Replies of one process from which on they may have to rest; fewer never make a process late by themselves."""
RENEWALS = 3
"""A lease is renewed this often within its length."""
ENDING = 5.0
"""Seconds that the replies get to write their ends once their time is over."""


class ProcessReplyRunner:
    def __init__(self, database: Database, lease: timedelta) -> None:
        self._database = database
        self._lease = lease
        self._runs: dict[asyncio.Task[None], Run] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._completing: set[asyncio.Task[Any]] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._pressure = Pressure()

    def find(self, message_id: UUID) -> "Run | None":
        """The run of that reply, if it is this process that runs it."""
        return next((run for run in self._runs.values() if run.id == message_id), None)

    def rest(self) -> float:
        """Seconds that a reply rests after a piece of text."""
        return self._pressure.rest if len(self._runs) >= CROWD else 0.0

    def start(self, run: "Run") -> None:
        task = asyncio.create_task(run.run())
        # Kept here, for the loop itself holds only a weak reference to a task.
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)
        if not self._keepers:
            self._keepers = [asyncio.create_task(self._keep()), asyncio.create_task(self._pressure.watch())]

    async def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` to its end, also where the caller is cancelled meanwhile."""
        task = asyncio.create_task(work)
        self._completing.add(task)
        task.add_done_callback(self._completing.discard)
        return await asyncio.shield(task)

    def cancel(self, message_id: UUID) -> None:
        """Stops the reply where this process runs it. Its row says already that it was cancelled."""
        for run in self._runs.values():
            if run.id == message_id:
                run.interrupt(CANCELLED)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something that belongs to a reply but that its end must not wait for."""
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def stop(self, grace: float) -> None:
        """Lets the replies finish for `grace` seconds, then ends the rest, each with its terminal event.

        What has not ended ENDING seconds later, because the database is away, is left to the lease chore.
        """
        if self._completing:
            await asyncio.wait(self._completing, timeout=ENDING)
        if self._runs:
            await asyncio.wait(self._runs, timeout=grace)
        for run in self._runs.values():
            run.interrupt(STOPPED)
        if self._runs:
            await asyncio.wait(self._runs, timeout=ENDING)
        # What has just been spawned must have begun, to see that it is cancelled.
        await asyncio.sleep(0)
        left = [*self._runs, *self._others, *self._keepers]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _keep(self) -> None:
        """Saves the texts that grew and renews the leases, all in few statements: a thousand replies must not take
        a thousand connections. A run whose row is no longer there to fill is stopped, as is one whose asker may no
        longer read the note: to that row only it will write a reason."""
        while True:
            await asyncio.sleep(CHECKPOINT)
            try:
                await self._look_after_all()
            except Exception:
                # Without a keeper every reply of this process would lose its lease.
                log.exception("reply.keeper_failed", replies=len(self._runs))

    async def _look_after_all(self) -> None:
        for run in list(self._runs.values()):
            await self._repeat(run)
        everyone = [run for run in self._runs.values() if self._is_due(run)]
        for due in (everyone[start : start + TOGETHER] for start in range(0, len(everyone), TOGETHER)):
            try:
                alive = await self._save(due)
            except Exception:
                log.exception("reply.checkpoint_failed", replies=len(due))
                continue
            for run in due:
                if run.id not in alive:
                    run.interrupt(REVOKED)

    async def _repeat(self, run: "Run") -> None:
        try:
            await run.telling.repeat()
        except Exception:
            log.exception("reply.repeat_failed", message_id=str(run.id))

    def _is_due(self, run: "Run") -> bool:
        spent = asyncio.get_running_loop().time() - run.saved_at
        return run.telling.length != run.saved_length or spent >= self._lease.total_seconds() / RENEWALS

    async def _save(self, runs: Sequence["Run"]) -> set[UUID]:
        """Returns the ids of the replies that are still there and running, and whose asker may still read the note."""
        said = {run.id: run.telling.said for run in runs}
        given = func.unnest(literal(list(said), ARRAY(Uuid)), literal(list(said.values()), ARRAY(Text)))
        rows = given.table_valued(column("id", Uuid), column("content", Text), name="said").render_derived()
        saved = (
            change_rows(Message)
            .where(col(Message.id) == rows.c.id, col(Message.state) == MessageState.STREAMING, _allowed())
            .values(content=rows.c.content, lease_until=func.now() + self._lease, updated_at=func.now())
            .returning(col(Message.id))
        )
        async with self._database.engine.begin() as connection:
            alive = set((await connection.execute(saved)).scalars())
        now = asyncio.get_running_loop().time()
        for run in runs:
            run.saved_length, run.saved_at = len(said[run.id]), now
        return alive


def _allowed() -> ColumnElement[bool]:
    """The condition on `messages` that holds where the asker may read the note."""
    return exists().where(
        col(Conversation.id) == col(Message.conversation_id),
        col(Note.id) == col(Conversation.note_id),
        note_readable_by_user(col(Conversation.user_id)),
    )
