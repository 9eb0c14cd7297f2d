"""The order of a reply's events as a subscriber receives them from the bus."""

from resolvers.replies.events import ReplyEvent


class EventOrder:
    """Brings events into the order of their numbers and drops repeated ones.

    `seen` is the number of the last event that was returned. A terminal event is returned again to a subscriber that
    has seen it: they come back to learn how the reply ended.
    """

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self._early: dict[int, ReplyEvent] = {}

    @property
    def has_gap(self) -> bool:
        """Whether there are events that wait for a missing one."""
        return bool(self._early)

    def add(self, event: ReplyEvent) -> list[ReplyEvent]:
        """Returns the events that are next, now that this one has arrived."""
        if event.is_terminal and event.seq <= self.seen:
            return [event]
        if event.seq > self.seen:
            self._early[event.seq] = event
        ready = []
        while following := self._early.pop(self.seen + 1, None):
            self.seen += 1
            ready.append(following)
        return ready

    def skip_gap(self) -> list[ReplyEvent]:
        """Gives up the missing events; returns those that waited for them."""
        if not self._early:
            return []
        self.seen = min(self._early) - 1
        return self.add(self._early[self.seen + 1])
