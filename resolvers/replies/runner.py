"""The replies that this process runs: kept alive, saved as they grow, and ended together with the process."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from resolvers.core.database import Database
from resolvers.core.failures import report_failure
from resolvers.replies import checkpoints
from resolvers.replies.ending import CANCELLED, REVOKED, STOPPED
from resolvers.replies.throttle import Throttle

if TYPE_CHECKING:
    from resolvers.replies.run import ReplyRun

T = TypeVar("T")

CHECKPOINT_SECONDS = 1.0
"""Time between two checkpoints of the texts that grew."""
CHECKPOINT_SIZE = 100
"""Replies that one statement saves."""
MIN_THROTTLED_REPLIES = 64
"""Running replies from which on they are throttled. Fewer can't make the event loop lag by themselves."""
END_SECONDS = 5.0
"""Time that the replies get to store their ends when the process stops."""


class ProcessReplyRunner:
    """One per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._runs: dict[asyncio.Task[None], ReplyRun] = {}
        # Tasks are held here, because the event loop itself holds only weak references to them.
        self._completing: set[asyncio.Task[Any]] = set()
        self._spawned: set[asyncio.Task[None]] = set()
        self._background: list[asyncio.Task[None]] = []
        self._throttle = Throttle()

    def find(self, message_id: UUID) -> "ReplyRun | None":
        """Returns the run of a reply, None if this process does not run it."""
        return next((run for run in self._runs.values() if run.message_id == message_id), None)

    def pause_seconds(self) -> float:
        """How long a reply pauses after a piece of text, so that other work of this process gets its turn."""
        return self._throttle.pause_seconds if len(self._runs) >= MIN_THROTTLED_REPLIES else 0.0

    def start(self, run: "ReplyRun") -> None:
        task = asyncio.create_task(run.run())
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)
        if not self._background:
            self._background = [
                asyncio.create_task(self._save_checkpoints()),
                asyncio.create_task(self._throttle.watch()),
            ]

    async def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` to its end, even if the caller is cancelled meanwhile. Returns or raises what it does."""
        task = asyncio.create_task(work)
        self._completing.add(task)
        task.add_done_callback(self._completing.discard)
        return await asyncio.shield(task)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts work that belongs to a reply and that the reply's end does not wait for."""
        task = asyncio.create_task(work)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)

    def cancel(self, message_id: UUID) -> None:
        """Stops a reply if this process runs it. Its row says already that it was cancelled."""
        run = self.find(message_id)
        if run is not None:
            run.interrupt(CANCELLED)

    async def stop(self, grace_seconds: float) -> None:
        """Lets the replies finish for so long, then ends the others, each with its terminal event.

        Replies that have not ended END_SECONDS later, because the database is away, are left to the workers.
        """
        if self._completing:
            await asyncio.wait(self._completing, timeout=END_SECONDS)
        if self._runs:
            await asyncio.wait(self._runs, timeout=grace_seconds)
        for run in self._runs.values():
            run.interrupt(STOPPED)
        if self._runs:
            await asyncio.wait(self._runs, timeout=END_SECONDS)
        # Work that was just spawned must have begun, to be able to handle its cancellation.
        await asyncio.sleep(0)
        remaining = [*self._completing, *self._runs, *self._spawned, *self._background]
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)

    async def _save_checkpoints(self) -> None:
        """Runs until it is cancelled. If it ended earlier, every reply of this process would lose its lease."""
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            try:
                await self._save_all()
            except Exception as error:  # noqa: BLE001 (as above)
                report_failure("reply.checkpoints_failed", error, replies=len(self._runs))

    async def _save_all(self) -> None:
        for run in list(self._runs.values()):
            await self._republish(run)
        # A thousand replies take few statements and few connections.
        due = [run for run in self._runs.values() if checkpoints.is_due(run)]
        for start in range(0, len(due), CHECKPOINT_SIZE):
            await self._save(due[start : start + CHECKPOINT_SIZE])

    async def _republish(self, run: "ReplyRun") -> None:
        try:
            await run.publisher.republish_after_reconnect()
        except Exception as error:  # noqa: BLE001 (the other replies must be saved)
            report_failure("reply.republish_failed", error, message_id=str(run.message_id))

    async def _save(self, runs: Sequence["ReplyRun"]) -> None:
        """Saves the replies and interrupts those that may not go on.

        Such a reply was cancelled or deleted, or its user may no longer read the note. Only in the last case will the
        reason REVOKED be stored.
        """
        try:
            saved_ids = await checkpoints.save(self._database, runs)
        except Exception as error:  # noqa: BLE001 (the next checkpoint may succeed)
            report_failure("reply.checkpoint_failed", error, replies=len(runs))
            return
        for run in runs:
            if run.message_id not in saved_ids:
                run.interrupt(REVOKED)
