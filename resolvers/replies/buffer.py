"""The events of a reply in memory, for its subscribers in the process that runs it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from resolvers.replies.events import ReplyEvent


class ReplyBuffer:
    """The events of one reply, numbered from 1.

    All subscribers read the same list, so that a slow one costs no memory and delays no other. The buffer lives as long
    as the reply runs or a subscriber reads it.
    """

    def __init__(self) -> None:
        self.events: list[ReplyEvent] = []
        self.closed = False
        self._changed = asyncio.Event()

    def append(self, event: ReplyEvent) -> None:
        self.events.append(event)
        self._notify()

    def close(self) -> None:
        """Ends the subscriptions. If the last event is not terminal, the reply's row says how the reply ended."""
        self.closed = True
        self._notify()

    def events_after(self, seq: int) -> Sequence[ReplyEvent]:
        return self.events[seq:]

    async def subscribe(self, after: int) -> AsyncGenerator[ReplyEvent, None]:
        """Yields the events after number `after`, until the terminal event or until the buffer is closed."""
        last_seq = after
        while True:
            changed = self._changed
            for event in self.events_after(last_seq):
                last_seq = event.seq
                yield event
                if event.is_terminal:
                    return
            if self.closed:
                return
            if last_seq >= len(self.events):
                await changed.wait()

    def _notify(self) -> None:
        # Wakes all that wait now. Those that begin to wait later wait for the next change.
        self._changed.set()
        self._changed = asyncio.Event()
