"""The open connections of this process: WebSockets and streams, of both edges."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from models.limits import limit
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem

MAX_UNAUTHENTICATED_SOCKETS = limit(
    2_000,
    "WebSockets of a process that have not authenticated yet, from all addresses together",
    area="Live",
    beyond="close 1013, of the one that has been silent the longest",
)
"""For all addresses together, because behind a proxy all callers have the same one."""
TOO_MANY_UNAUTHENTICATED = "Too many connections have not authenticated yet. Try again later."


class Connections:
    """Counts the open connections by caller: an API key, or a person in a workspace. Make one per process."""

    def __init__(self) -> None:
        self._open: Counter[tuple[UUID, UUID]] = Counter()
        self._silent: dict[object, Callable[[], object]] = {}
        self._authenticating: set[object] = set()

    @contextmanager
    def open(self, ctx: Context) -> Iterator[None]:
        """Counts a connection of the caller while the block lasts. Raises RATE_LIMITED if the caller has too many."""
        caller, most = (ctx.viewer.workspace_id, ctx.viewer.actor_id), ctx.limits.connections_per_caller
        if self._open[caller] >= most:
            text = f"You have {most} connections open with this server, which is the limit. Close one first."
            raise Problem(ErrorCode.RATE_LIMITED, text)
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]

    @contextmanager
    def unauthenticated(self, evict: Callable[[], object]) -> Iterator[Callable[[], None]]:
        """Counts a WebSocket until it has authenticated. The block receives a function to call when that begins.

        If there are too many, `evict` is called for the one that has been silent the longest, so that nobody can lock
        others out by staying silent. Raises UNAVAILABLE if all of them are being authenticated.
        """
        key = object()
        if len(self._silent) + len(self._authenticating) >= MAX_UNAUTHENTICATED_SOCKETS:
            if not self._silent:
                raise Problem(ErrorCode.UNAVAILABLE, TOO_MANY_UNAUTHENTICATED)
            self._silent.pop(next(iter(self._silent)))()
        self._silent[key] = evict

        def authenticates() -> None:
            if self._silent.pop(key, None) is not None:
                self._authenticating.add(key)

        try:
            yield authenticates
        finally:
            self._silent.pop(key, None)
            self._authenticating.discard(key)
