"""Throttling: the pause of a reply after a piece of text while the event loop of this process lags.

Hundreds of replies whose models write faster than this process can publish would delay every request. While the event
loop lags, each reply pauses after a piece of text and then publishes what its model wrote meanwhile as one event: fewer
events, the same text. A process that keeps up never pauses.
"""

import asyncio

PROBE_SECONDS = 0.05
"""Time between two measurements of the event loop's lag."""
HIGH_LAG_SECONDS, LOW_LAG_SECONDS = 0.02, 0.008
"""The lag above which the pause grows, and the lag below which it shrinks."""
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.05, 0.5
"""The shortest and the longest pause other than none."""


class Throttle:
    """Measures the lag of the event loop and derives the pause from it."""

    def __init__(self) -> None:
        self.pause_seconds = 0.0
        """How long a reply pauses after a piece of text; 0 while the event loop keeps up."""

    async def watch(self) -> None:
        """Measures until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PROBE_SECONDS
            await asyncio.sleep(PROBE_SECONDS)
            self.pause_seconds = next_pause(self.pause_seconds, loop.time() - due)


def next_pause(pause: float, lag: float) -> float:
    """Returns the pause in seconds that follows `pause` after a lag of so many seconds was measured."""
    if lag > HIGH_LAG_SECONDS:
        return min(max(pause * 1.5, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
    if lag < LOW_LAG_SECONDS:
        pause *= 0.9
    return pause if pause >= MIN_PAUSE_SECONDS else 0.0
