"""The replies that this process is running: they are kept alive, saved as they grow, and ended with the process."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from sqlalchemy import ARRAY, Text, Uuid, column, func, literal
from sqlalchemy import update as change_rows
from sqlmodel import col

from models import Message
from models.conversation import MessageState
from resolvers.context import Database

if TYPE_CHECKING:
    from resolvers.replies.run import Run

log = structlog.get_logger()

CHECKPOINT = 1.0
"""Seconds between two looks at which partial texts must be saved."""
TOGETHER = 100
"""Replies that one statement saves."""
RENEWALS = 3
"""A lease is renewed this often within its length."""
STOPPED = "The server was stopped before the answer was complete."
GONE = "The conversation was deleted."


class Runs:
    def __init__(self, database: Database, lease: timedelta) -> None:
        self._database = database
        self._lease = lease
        self._runs: dict[asyncio.Task[None], Run] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None

    def start(self, run: "Run") -> None:
        task = asyncio.create_task(run.run())
        # Kept here, for the loop itself holds only a weak reference to a task.
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something that belongs to a reply but that its end must not wait for."""
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def stop(self, grace: float) -> None:
        """Lets the replies finish for `grace` seconds, then ends the rest, each with its terminal event.

        What has not ended after as long again, because the database is away, is left to the lease chore.
        """
        if self._runs:
            await asyncio.wait(self._runs, timeout=grace)
        for run in self._runs.values():
            run.interrupt(STOPPED)
        if self._runs:
            await asyncio.wait(self._runs, timeout=grace)
        left = [*self._runs, *self._others]
        if self._keeper is not None:
            left.append(self._keeper)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _keep(self) -> None:
        """Saves the texts that grew and renews the leases, all in few statements: a thousand replies must not take
        a thousand connections. A run whose row is no longer there to fill is stopped."""
        while True:
            await asyncio.sleep(CHECKPOINT)
            everyone = [run for run in self._runs.values() if self._is_due(run)]
            for due in (everyone[start : start + TOGETHER] for start in range(0, len(everyone), TOGETHER)):
                try:
                    alive = await self._save(due)
                except Exception as error:  # noqa: BLE001 (without a keeper every reply would lose its lease)
                    log.warning("reply.checkpoint_failed", replies=len(due), error=str(error))
                    continue
                for run in due:
                    if run.id not in alive:
                        run.interrupt(GONE)

    def _is_due(self, run: "Run") -> bool:
        spent = asyncio.get_running_loop().time() - run.saved_at
        return run.length != run.saved_length or spent >= self._lease.total_seconds() / RENEWALS

    async def _save(self, runs: Sequence["Run"]) -> set[UUID]:
        """Returns the ids of the replies that are still there and running."""
        said = {run.id: run.said for run in runs}
        given = func.unnest(literal(list(said), ARRAY(Uuid)), literal(list(said.values()), ARRAY(Text)))
        rows = given.table_valued(column("id", Uuid), column("content", Text), name="said").render_derived()
        saved = (
            change_rows(Message)
            .where(col(Message.id) == rows.c.id, col(Message.state) == MessageState.STREAMING)
            .values(content=rows.c.content, lease_until=func.now() + self._lease, updated_at=func.now())
            .returning(col(Message.id))
        )
        async with self._database.engine.begin() as connection:
            alive = set((await connection.execute(saved)).scalars())
        now = asyncio.get_running_loop().time()
        for run in runs:
            run.saved_length, run.saved_at = len(said[run.id]), now
        return alive
