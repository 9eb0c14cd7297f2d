"""The event logs that this process follows: each workspace once, whatever the number of its followers.

Followers are served from a ring in memory, and from the table once they are behind it: a slow one loses nothing
and costs no memory.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlmodel import col

from models import Event
from models.base import Record
from resolvers.context import Bus, Database, Transaction

log = structlog.get_logger()

RING = 1_000
"""Events of one workspace that a process keeps for its followers; who is further behind reads the table."""
BATCH = 200
POLL = 5.0
"""Seconds after which a follower looks into the table without having been woken."""


async def read_after(tx: Transaction, workspace_id: UUID, seq: int, limit: int = BATCH) -> Sequence[Record]:
    query = select(Event).where(col(Event.workspace_id) == workspace_id, col(Event.seq) > seq)
    return (await tx.execute(query.order_by(col(Event.seq)).limit(limit))).all()


class Feed:
    """One workspace's log as this process follows it: a ring of the newest events, and a bell."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.ring: deque[Record] = deque(maxlen=RING)
        self.followers = 0
        self._bell = asyncio.Event()
        self.heard = asyncio.Event()

    def add(self, events: Iterable[Record]) -> None:
        for event in events:
            self.ring.append(event)
            self.last = event.seq
        # Everyone waiting hears this bell; who comes later waits for the next one.
        self._bell.set()
        self._bell = asyncio.Event()

    def since(self, seq: int) -> list[Record] | None:
        """The events after `seq`, or None where the ring no longer reaches back to it."""
        if seq >= self.last:
            return []
        missing = self.last - seq
        if missing > len(self.ring):
            return None
        start = len(self.ring) - missing
        return list(islice(self.ring, start, start + BATCH))

    async def ring_after(self, seq: int) -> None:
        bell = self._bell
        if self.last <= seq:
            await bell.wait()


class Feeds:
    """The feeds of this process: one per followed workspace, however many follow it."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._feeds: dict[UUID, tuple[Feed, asyncio.Task[None]]] = {}

    async def follow(self, workspace_id: UUID, after: int) -> AsyncGenerator[Sequence[Record], None]:
        """Batches of the events after `after`, for ever."""
        async with self._joined(workspace_id, after) as feed:
            while True:
                batch: Sequence[Record] | None = feed.since(after)
                if batch is None:
                    batch = await self._read(workspace_id, after)
                if not batch:
                    await feed.ring_after(after)
                    continue
                after = batch[-1].seq
                yield batch

    @asynccontextmanager
    async def _joined(self, workspace_id: UUID, after: int) -> AsyncIterator[Feed]:
        if workspace_id not in self._feeds:
            feed = Feed(after)
            self._feeds[workspace_id] = feed, asyncio.create_task(self._run(workspace_id, feed))
        feed, task = self._feeds[workspace_id]
        feed.followers += 1
        try:
            yield feed
        finally:
            feed.followers -= 1
            if not feed.followers:
                del self._feeds[workspace_id]
                task.cancel()

    async def _run(self, workspace_id: UUID, feed: Feed) -> None:
        def hear(_seq: int) -> None:
            feed.heard.set()

        async with self._bus.wakeups(workspace_id, hear):
            while True:
                try:
                    while events := await self._read(workspace_id, feed.last):
                        feed.add(events)
                except Exception as error:  # noqa: BLE001 (followers must not wait for a task that has ended)
                    # Most likely the database is away: the followers wait, and miss nothing when it is back.
                    log.warning("feed.read_failed", workspace_id=str(workspace_id), error=str(error))
                try:
                    async with asyncio.timeout(POLL):
                        await feed.heard.wait()
                except TimeoutError:
                    continue
                finally:
                    feed.heard.clear()

    async def _read(self, workspace_id: UUID, after: int) -> Sequence[Record]:
        async with self._database.reader.connect() as connection:
            return await read_after(Transaction(connection), workspace_id, after)
