"""The port to the replies that this process runs; `resolvers.replies.runner` implements it."""

from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Protocol, TypeVar
from uuid import UUID

T = TypeVar("T")


class RunningReply(Protocol):
    """A reply that this process is producing."""

    message_id: UUID

    async def run(self) -> None:
        """Produces the reply up to its terminal event."""

    def subscribe(self, after: int) -> AsyncGenerator[Any, None]:
        """Each `resolvers.replies.events.ReplyEvent` after number `after`, up to the terminal one."""


class ReplyRunner(Protocol):
    """Runs the replies of this process: each is a task, whose lease is renewed until it ends."""

    def find(self, message_id: UUID) -> RunningReply | None:
        """The reply, if this process runs it."""

    def pause_seconds(self) -> float:
        """How long a reply pauses after a piece of text while the event loop lags."""

    def start(self, run: Any) -> None:
        """Starts a `resolvers.replies.run.ReplyRun`."""

    async def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` to its end, also if the caller is cancelled meanwhile."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts work that belongs to a reply and that its end does not wait for."""

    def cancel(self, message_id: UUID) -> None:
        """Stops the reply if this process runs it."""

    async def stop(self, grace_seconds: float) -> None:
        """Waits so long for the replies to end, then ends the others."""
