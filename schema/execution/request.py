"""The context that an operation is executed with, which resolvers get as `info.context`."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from models.limits import limit
from resolvers.core.context import Context
from schema.execution.loaders import Loaders
from schema.execution.persisted_documents import PersistedDocuments

if TYPE_CHECKING:
    from schema.execution.shared_results import LogSubscription

MAX_EVENTS_IN_FLIGHT = limit(
    4,
    "Events of the log that one connection renders and sends at a time, over all its operations",
    area="Live",
    beyond="they wait",
)


@dataclass(frozen=True)
class Options:
    """What a deployment may choose about operations; the same for every request."""

    introspection: bool = True
    persisted: PersistedDocuments = field(default_factory=PersistedDocuments)


@dataclass
class Request:
    """The caller and the state of one operation. A WebSocket has one for the connection; each operation gets a copy.

    `connection_params` is None except on a WebSocket. `resume_after` is the cursor that came with the request as
    `Last-Event-ID`, not in the operation. A subscription sets `started` once its checks have passed. A subscription of
    the event log then puts itself into `log_subscription`; any other puts each event's cursor into `cursor` before it
    yields the event. `in_flight` bounds the events that the connection renders at a time.
    """

    ctx: Context
    headers: Mapping[str, str] = field(default_factory=dict)
    connection_params: Mapping[str, Any] | None = None
    options: Options = field(default_factory=Options)
    resume_after: str | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cursor: str | None = None
    log_subscription: "LogSubscription | None" = None
    in_flight: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_EVENTS_IN_FLIGHT))

    def for_operation(self) -> "Request":
        """A copy with the state of an operation that has not started."""
        return replace(self, started=asyncio.Event(), cursor=None, log_subscription=None)

    @cached_property
    def loaders(self) -> Loaders:
        return Loaders(self.ctx)
