"""The event logs that this process follows: each workspace once, whatever the number of its followers.

Followers are served from a ring in memory, and from the table once they are behind it: a slow one loses nothing
and costs no memory.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from models import Event
from models.base import Record
from resolvers.core.context import Bus, Database, Transaction, Viewer
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.retry import retry_until_available
from resolvers.events.permissions import PermissionQuery, PermissionReader, PermissionSnapshot

RING = 1_000
"""Events of one workspace that a process keeps for its followers; who is further behind reads the table."""
BATCH = 200
POLL = 5.0
"""Seconds after which a follower looks into the table without having been woken."""
QUIET = 30.0
"""Seconds without an event after which the followers look whether they may still follow."""
READS = 8
"""Followers that read the table at once: who is behind must not take the connections from everybody else."""


def expired() -> Problem:
    text = "The log no longer reaches back to this cursor: events after it were dropped. Read anew what you follow."
    return Problem(ErrorCode.CURSOR_EXPIRED, text, "after")


async def read_after(tx: Transaction, workspace_id: UUID, seq: int, limit: int = BATCH) -> Sequence[Record]:
    query = select(Event).where(col(Event.workspace_id) == workspace_id, col(Event.seq) > seq)
    return (await tx.execute(query.order_by(col(Event.seq)).limit(limit))).all()


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who follows a workspace's log; `note_id`: for one note's events."""

    viewer: Viewer
    workspace_id: UUID
    note_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """`facts` were read after the events, for all who followed then; None where that is not so."""

    events: Sequence[Record]
    facts: PermissionSnapshot | None = None


class EventFeed:
    """One workspace's log as this process follows it: a ring of the newest events, and a bell."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.ring: deque[Record] = deque(maxlen=RING)
        self.followers: Counter[Subscriber] = Counter()
        self.silences = 0
        self.facts: PermissionSnapshot | None = None
        self._bell = asyncio.Event()
        self.heard = asyncio.Event()

    def question(self, events: Iterable[Record]) -> PermissionQuery:
        """What all the followers must know to be told of the events."""
        question, told = PermissionQuery(), {event.note_id for event in events if event.note_id}
        for each in self.followers:
            question.add(each.viewer, each.workspace_id, (each.note_id,) if each.note_id else ())
        question.notes |= told
        return question

    def add(self, events: Iterable[Record], facts: PermissionSnapshot) -> None:
        self.facts = facts
        for event in events:
            if event.seq != self.last + 1:
                # What is missing was dropped from the log. Who has not heard it finds that out in the table.
                self.ring.clear()
            self.ring.append(event)
            self.last = event.seq
        self.wake()

    def wake(self) -> None:
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

    async def woken(self) -> None:
        await self._bell.wait()

    async def listen(self) -> None:
        """Returns when the workspace was said to have a new event, and every POLL seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL):
                await self.heard.wait()
        self.heard.clear()


class EventFeeds:
    """The feeds of this process: one per followed workspace, however many follow it."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._feeds: dict[UUID, tuple[EventFeed, asyncio.Task[None]]] = {}
        self._turns = asyncio.Semaphore(READS)
        self.permissions = PermissionReader(database)

    async def subscribe(self, follower: Subscriber, after: int, newest: int = 0) -> AsyncGenerator[Batch, None]:
        """Batches of the events after `after`, for ever, without a gap; an empty one after QUIET seconds without any.

        `newest` is the log's last event as the caller knows it: nobody waits until who came first with an old cursor
        has caught up. Raises CURSOR_EXPIRED where the next event was dropped, be it from the start or later on.
        """
        async with self._joined(follower, max(after, newest)) as feed:
            silences = feed.silences
            while True:
                if (recent := feed.since(after)) is not None:
                    batch = Batch(recent, feed.facts)
                else:
                    batch = Batch(await self._behind(follower.workspace_id, after))
                if batch.events:
                    after = batch.events[-1].seq
                    yield batch
                elif silences != feed.silences:
                    silences = feed.silences
                    yield Batch(())
                else:
                    await feed.woken()

    async def _behind(self, workspace_id: UUID, after: int) -> Sequence[Record]:
        async with self._turns:
            batch = await retry_until_available("events", partial(self._read, workspace_id, after))
        if not batch or batch[0].seq != after + 1:
            raise expired()
        return batch

    @asynccontextmanager
    async def _joined(self, follower: Subscriber, last: int) -> AsyncIterator[EventFeed]:
        workspace_id = follower.workspace_id
        if workspace_id not in self._feeds:
            feed = EventFeed(last)
            running = retry_until_available("feed", partial(self._run, workspace_id, feed))
            self._feeds[workspace_id] = feed, asyncio.create_task(running)
        feed, task = self._feeds[workspace_id]
        feed.followers[follower] += 1
        try:
            yield feed
        finally:
            feed.followers[follower] -= 1
            # Not by `-=` of counters, which looks at all of them: a thousand leave at once.
            if not feed.followers[follower]:
                del feed.followers[follower]
            if not feed.followers:
                del self._feeds[workspace_id]
                task.cancel()

    async def _run(self, workspace_id: UUID, feed: EventFeed) -> None:
        def hear(_seq: int) -> None:
            feed.heard.set()

        async with self._bus.subscribe_wakeups(workspace_id, hear):
            since = time.monotonic()
            while True:
                while events := await self._read(workspace_id, feed.last):
                    feed.add(events, await self.permissions.read_now(feed.question(events)))
                    since = time.monotonic()
                if time.monotonic() - since >= QUIET:
                    feed.silences += 1
                    feed.wake()
                    since = time.monotonic()
                await feed.listen()

    async def _read(self, workspace_id: UUID, after: int) -> Sequence[Record]:
        async with self._database.reader.connect() as connection:
            return await read_after(Transaction(connection), workspace_id, after)
