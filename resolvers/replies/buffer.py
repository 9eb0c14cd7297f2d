"""What a reply has told so far, for those who follow it in the process that runs it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from resolvers.replies.events import ReplyEvent


class ReplyLog:
    """The events of one reply, numbered from 1. It is kept as long as the reply runs or somebody still reads it: a slow
    follower costs no memory of its own, and slows nobody else."""

    def __init__(self) -> None:
        self.events: list[ReplyEvent] = []
        self.ended = False
        self._bell = asyncio.Event()

    def add(self, event: ReplyEvent) -> None:
        self.events.append(event)
        self._ring()

    def end(self) -> None:
        """Nothing more is told here; where the last event is not terminal, the row tells how the reply ended."""
        self.ended = True
        self._ring()

    def since(self, seq: int) -> Sequence[ReplyEvent]:
        return self.events[seq:]

    async def follow(self, after: int) -> AsyncGenerator[ReplyEvent, None]:
        """The events after number `after`, up to the terminal one or to the end of the log."""
        seen = after
        while True:
            bell = self._bell
            for event in self.since(seen):
                seen = event.seq
                yield event
                if event.terminal:
                    return
            if self.ended:
                return
            if seen >= len(self.events):
                await bell.wait()

    def _ring(self) -> None:
        # Everyone waiting hears this bell; who comes later waits for the next one.
        self._bell.set()
        self._bell = asyncio.Event()
