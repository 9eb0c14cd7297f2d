"""The event feeds of this process: each workspace's log is read once, whatever the number of its subscribers.

Subscribers are served from a ring buffer in memory, and from the table when they are behind it: a slow subscriber loses
nothing and costs no memory.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import islice
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from models import Event
from models.base import Record
from models.limits import limit
from resolvers.core.database import Database, Transaction
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.ports.bus import Bus
from resolvers.core.ports.event_feeds import Batch, Permissions, Subscriber
from resolvers.core.retry import retry_until_available
from resolvers.events.permissions import BatchedPermissionReader, PermissionQuery

RING_EVENTS = limit(
    1_000,
    "Events of one workspace that a process buffers for its subscribers",
    area="Live",
    beyond="read from the database",
)
BATCH_EVENTS = 200
POLL_SECONDS = 5.0
"""Seconds after which a feed reads the table without a wake-up."""
SILENCE_SECONDS = 30.0
"""Seconds without an event after which the subscribers' permissions are checked again."""
CONCURRENT_TABLE_READS = 8
"""Subscribers that read the table at once: those that are behind must not use up the connections."""


def cursor_expired() -> Problem:
    text = "This cursor is too old: later events were deleted. Query the current data, then subscribe without `after`."
    return Problem(ErrorCode.CURSOR_EXPIRED, text, "after")


async def read_after(tx: Transaction, workspace_id: UUID, seq: int, limit: int = BATCH_EVENTS) -> Sequence[Record]:
    """The next events of a workspace's log after `seq`, in order."""
    query = select(Event).where(col(Event.workspace_id) == workspace_id, col(Event.seq) > seq)
    return (await tx.execute(query.order_by(col(Event.seq)).limit(limit))).all()


class EventFeed:
    """One workspace's log as this process reads it: a ring buffer of the newest events, and a condition to wait on."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.ring: deque[Record] = deque(maxlen=RING_EVENTS)
        self.subscribers: Counter[Subscriber] = Counter()
        self.silences = 0
        self.permissions: Permissions | None = None
        self._changed = asyncio.Event()
        self.woken = asyncio.Event()

    def permission_query(self, events: Iterable[Record]) -> PermissionQuery:
        """What must be read to decide which subscribers may see the events."""
        query = PermissionQuery()
        for subscriber in self.subscribers:
            note_ids = (subscriber.note_id,) if subscriber.note_id else ()
            query.add(subscriber.viewer, subscriber.workspace_id, note_ids)
        query.notes |= {event.note_id for event in events if event.note_id}
        return query

    def add(self, events: Iterable[Record], permissions: Permissions) -> None:
        """Appends events, with the permissions that were read after them, and notifies the subscribers."""
        self.permissions = permissions
        for event in events:
            if event.seq != self.last + 1:
                # The missing events were dropped from the log. Whoever did not get them learns that from the table.
                self.ring.clear()
            self.ring.append(event)
            self.last = event.seq
        self.notify()

    def notify(self) -> None:
        # All who wait now are notified by this object; later ones wait on the next.
        self._changed.set()
        self._changed = asyncio.Event()

    def since(self, seq: int) -> list[Record] | None:
        """The events after `seq`, or None if the ring buffer no longer reaches back to it."""
        if seq >= self.last:
            return []
        missing = self.last - seq
        if missing > len(self.ring):
            return None
        start = len(self.ring) - missing
        return list(islice(self.ring, start, start + BATCH_EVENTS))

    async def changed(self) -> None:
        """Waits for the next `notify`."""
        await self._changed.wait()

    async def wait_for_wakeup(self) -> None:
        """Returns when a wake-up arrives for the workspace, and after POLL_SECONDS without one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self.woken.wait()
        self.woken.clear()


class ProcessEventFeeds:
    """The event feeds of this process: one for each workspace that has subscribers here."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._feeds: dict[UUID, tuple[EventFeed, asyncio.Task[None]]] = {}
        self._table_reads = asyncio.Semaphore(CONCURRENT_TABLE_READS)
        self.permissions = BatchedPermissionReader(database)

    async def subscribe(self, subscriber: Subscriber, after: int, newest: int = 0) -> AsyncGenerator[Batch, None]:
        """Batches of the events after `after`, endlessly and without a gap; an empty one after SILENCE_SECONDS.

        `newest` is the log's last event as the caller knows it: no subscriber waits until another one with an old
        cursor has caught up. Raises CURSOR_EXPIRED if the next event was dropped, at the start or later.
        """
        async with self._joined(subscriber, max(after, newest)) as feed:
            silences = feed.silences
            while True:
                if (recent := feed.since(after)) is not None:
                    batch = Batch(recent, feed.permissions)
                else:
                    batch = Batch(await self._read_table(subscriber.workspace_id, after))
                if batch.events:
                    after = batch.events[-1].seq
                    yield batch
                elif silences != feed.silences:
                    silences = feed.silences
                    yield Batch(())
                else:
                    await feed.changed()

    async def _read_table(self, workspace_id: UUID, after: int) -> Sequence[Record]:
        """The next events for a subscriber that is behind the ring buffer."""
        async with self._table_reads:
            batch = await retry_until_available("events", partial(self._read, workspace_id, after))
        if not batch or batch[0].seq != after + 1:
            raise cursor_expired()
        return batch

    @asynccontextmanager
    async def _joined(self, subscriber: Subscriber, last: int) -> AsyncIterator[EventFeed]:
        """Starts the workspace's feed with its first subscriber, and stops it after the last."""
        workspace_id = subscriber.workspace_id
        if workspace_id not in self._feeds:
            feed = EventFeed(last)
            running = retry_until_available("feed", partial(self._run, workspace_id, feed))
            self._feeds[workspace_id] = feed, asyncio.create_task(running)
        feed, task = self._feeds[workspace_id]
        feed.subscribers[subscriber] += 1
        try:
            yield feed
        finally:
            feed.subscribers[subscriber] -= 1
            # Not `-=` of counters, which walks all of them: a thousand subscribers may leave at once.
            if not feed.subscribers[subscriber]:
                del feed.subscribers[subscriber]
            if not feed.subscribers:
                del self._feeds[workspace_id]
                task.cancel()

    async def _run(self, workspace_id: UUID, feed: EventFeed) -> None:
        def on_wake(_seq: int) -> None:
            feed.woken.set()

        async with self._bus.subscribe_wakeups(workspace_id, on_wake):
            last_event_at = time.monotonic()
            while True:
                while events := await self._read(workspace_id, feed.last):
                    feed.add(events, await self.permissions.read_now(feed.permission_query(events)))
                    last_event_at = time.monotonic()
                if time.monotonic() - last_event_at >= SILENCE_SECONDS:
                    feed.silences += 1
                    feed.notify()
                    last_event_at = time.monotonic()
                await feed.wait_for_wakeup()

    async def _read(self, workspace_id: UUID, after: int) -> Sequence[Record]:
        async with self._database.reader.connect() as connection:
            return await read_after(Transaction(connection), workspace_id, after)
