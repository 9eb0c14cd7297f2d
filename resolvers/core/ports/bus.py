"""The port to the message broker; `caret.adapters.nats_bus` implements it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID


class BusUnavailable(Exception):  # noqa: N818 (says what is the matter, as Problem does)
    """The broker can't be reached now; the same call may succeed later."""


class ReplySubscription(Protocol):
    """One reader of a reply's events, which begins with the first event that the broker still retains."""

    @property
    def retained(self) -> int:
        """The number of events that the broker retained when this subscription began."""

    @property
    def is_open(self) -> bool:
        """False once no further event will arrive: the broker restarted without its memory, or this reader fell too
        far behind. A new subscription continues."""

    async def next(self, timeout_seconds: float) -> bytes | None:
        """The next event, or None if none arrives in time."""


class Bus(Protocol):
    """Messages between processes. A lost message delays work; it never loses data."""

    @property
    def connected(self) -> bool: ...

    @property
    def reconnects(self) -> int:
        """How often the broker came back after it was away. What it retained before may be lost then."""

    async def publish_wakeup(self, workspace_id: UUID, seq: int) -> None:
        """Announces that the workspace's event log has grown up to `seq`."""

    def subscribe_wakeups(
        self, workspace_id: UUID | None, on_wake: Callable[[int], None]
    ) -> AbstractAsyncContextManager[None]:
        """Calls `on_wake(seq)` for each wake-up of a workspace, or of all workspaces for None."""

    async def publish_reply(self, message_id: UUID, event: bytes, *, last: bool) -> None: ...

    async def last_reply_event(self, message_id: UUID) -> bytes | None:
        """The newest event of a reply that the broker retains."""

    def subscribe_reply(self, message_id: UUID) -> AbstractAsyncContextManager[ReplySubscription]: ...

    async def publish_cancellation(self, message_id: UUID) -> None:
        """Announces to every process that a reply was cancelled."""

    def subscribe_cancellations(self, on_cancel: Callable[[UUID], None]) -> AbstractAsyncContextManager[None]:
        """Calls `on_cancel(message_id)` for each cancelled reply."""
