"""How far this process lags behind its work, and how long replies rest because of it.

Replies that a process can't tell as fast as their models speak would take turns with everything else it does, hundreds
of them between two looks at a request. Then each rests a moment after a piece of text, and what came meanwhile travels
with the next one: fewer pieces, and the same text. A process that keeps up never rests.
"""

import asyncio

LOOK = 0.05
"""Seconds between two looks."""
LATE, EARLY = 0.02, 0.008
"""Seconds of delay of a look from which replies rest longer, and below which they rest less."""
LEAST, MOST = 0.05, 0.5
"""Seconds that a reply rests."""


class Pressure:
    def __init__(self) -> None:
        self.rest = 0.0
        """Seconds to rest after a piece of text."""

    async def watch(self) -> None:
        """Runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK
            await asyncio.sleep(LOOK)
            self.rest = eased(self.rest, loop.time() - due)


def eased(rest: float, late: float) -> float:
    """The next rest after a look that was `late` by so many seconds."""
    if late > LATE:
        return min(max(rest * 1.5, LEAST), MOST)
    if late < EARLY:
        rest *= 0.9
    return rest if rest >= LEAST else 0.0
