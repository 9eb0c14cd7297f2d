"""The event log in GraphQL: an event is executed once for all who subscribe with the same operation and rights.

A thousand editors that show one workspace send the same subscription with the same rights, apart from the cursor that
they start after. What they select from an event is the same for all of them at the same moment, so the first one
executes it and the others are sent the same bytes. A result is kept for a second: later subscribers read current data.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Hashable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import orjson
from cachetools import TTLCache
from graphql import (
    ExecutionResult,
    FieldNode,
    OperationDefinitionNode,
    SelectionNode,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from models.base import Record
from models.limits import limit
from resolvers.core.errors import ErrorCode, Problem
from schema.execution.masking import render
from schema.execution.selection import Fragments, variables_in, walk

if TYPE_CHECKING:
    from schema.execution.request import Request

SHARED_SECONDS: Final = 1.0
MAX_SHARED_RESULTS: Final = 200
MAX_SHARED_BYTES: Final = 256 * 1024
"""Bytes of a result that is kept. A larger one is sent to those who wait for it already, and then dropped."""
MAX_EVENT_MIB = limit(
    4,
    "Result of a subscription for one event",
    area="Live",
    beyond="PAYLOAD_TOO_LARGE, which ends the stream",
    unit="MiB",
)
VIEWER_INDEPENDENT_FIELDS: Final = {"__typename", "cursor", "id", "type", "createdAt", "noteId"}
"""Fields of an event that are the same for everyone who may see it."""


class NotShared(Enum):
    """Why a result is not shared."""

    FAILED = "failed"
    """It has errors. Everyone executes it alone, since an error carries the id of one's own request."""
    ABANDONED = "abandoned"
    """The subscriber that executed it was cancelled. One of those who wait executes it for the others."""


@dataclass(frozen=True, slots=True)
class SharedResult:
    """The result of an operation for an event, as JSON, once it is there.

    `operation` is kept alive so that no other operation can get its `id()`, which is part of the key.
    """

    outcome: "asyncio.Future[bytes | NotShared]"
    operation: OperationDefinitionNode


class SharedResults:
    """The results that this process shares among its subscribers."""

    def __init__(self, seconds: float = SHARED_SECONDS, most: int = MAX_SHARED_RESULTS) -> None:
        self._seconds = seconds
        self._results: TTLCache[Hashable, SharedResult] = TTLCache(most, seconds, timer=monotonic)

    def __len__(self) -> int:
        return len(self._results)

    def get(self, key: Hashable) -> SharedResult | None:
        return self._results.get(key)

    def begin(self, key: Hashable, operation: OperationDefinitionNode) -> "asyncio.Future[bytes | NotShared]":
        """The future of a new result. Whoever begins one must `finish` it."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[bytes | NotShared] = loop.create_future()
        self._results[key] = SharedResult(outcome, operation)
        # The cache drops what has expired only when it is used, so it is used again after the last event, too.
        loop.call_later(self._seconds + 0.01, self._results.expire)
        return outcome

    def finish(self, key: Hashable, pending: "asyncio.Future[bytes | NotShared]", outcome: bytes | NotShared) -> None:
        pending.set_result(outcome)
        current = self._results.get(key)
        is_stored = isinstance(outcome, bytes) and len(outcome) <= MAX_SHARED_BYTES
        if current is not None and current.outcome is pending and not is_stored:
            del self._results[key]


shared_results = SharedResults()


class LogSubscription:
    """The event log as the source stream of one subscription.

    graphql-core iterates over it, and waits for the first event until the subscription ends. Meanwhile the transport
    reads `events` itself and calls `render` for each: graphql-core's own work per subscriber and event would cost ten
    times as much as sending it.
    """

    executor: "OperationExecutor"

    def __init__(self, request: "Request", events: AsyncGenerator[Record, None]) -> None:
        self._request = request
        self._closed = asyncio.Event()
        self.events = events

    def __aiter__(self) -> "LogSubscription":
        return self

    async def __anext__(self) -> NoReturn:
        self._request.log_subscription = self
        self._request.started.set()
        await self._closed.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._closed.set()
        await self.events.aclose()

    async def render(self, event: Record) -> bytes:
        """The operation's result for an event, as JSON. Raises PAYLOAD_TOO_LARGE beyond MAX_EVENT_MIB."""
        key = (event.id, self.executor.sharing_key)
        while (shared := shared_results.get(key)) is not None:
            # Shielded, so that a subscriber that leaves does not cancel the others' result.
            outcome = shared.outcome.result() if shared.outcome.done() else await asyncio.shield(shared.outcome)
            if isinstance(outcome, bytes):
                return outcome
            if outcome is NotShared.FAILED:
                break
        return await self._execute(key, event)

    async def _execute(self, key: Hashable, event: Record) -> bytes:
        pending = shared_results.begin(key, self.executor.operation)
        outcome: bytes | NotShared = NotShared.ABANDONED
        try:
            result = await self.executor.execute_event(event)
            body = encode(result)
            outcome = NotShared.FAILED if result.errors else body
            return body
        except Exception:
            outcome = NotShared.FAILED
            raise
        finally:
            shared_results.finish(key, pending, outcome)


def encode(result: ExecutionResult) -> bytes:
    payload: dict[str, Any] = {"data": result.data}
    if result.errors:
        payload["errors"] = [render(error).formatted for error in result.errors]
    body = orjson.dumps(payload, default=str)
    if len(body) > MAX_EVENT_MIB * 1024**2:
        text = f"The result for an event is larger than {MAX_EVENT_MIB} MiB: select less of it."
        raise Problem(ErrorCode.PAYLOAD_TOO_LARGE, text)
    return body


class OperationExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes operations as Strawberry does, and hands itself to the subscriptions of the event log."""

    @classmethod
    def build(cls, *args: Any, **options: Any) -> Any:
        # Suggestions for misspelt names in variables would be computed up to 50 times, a millisecond each.
        return super().build(*args, **options | {"hide_suggestions": True})

    def cancellable_iterable(self, iterable: Any) -> Any:
        if isinstance(iterable, LogSubscription):
            iterable.executor = self
        return super().cancellable_iterable(iterable)

    @cached_property
    def sharing_key(self) -> Hashable:
        """Equal for two subscribers if an event has the same result for both."""
        used = event_variables(self.operation, self.fragment_definitions)
        values = {name: value for name, value in self.variable_values.coerced.items() if name in used}
        viewer = None if is_viewer_independent(self.operation) else self.context_value.ctx.caller
        return id(self.operation), repr(sorted(values.items())), viewer

    async def execute_event(self, event: Record) -> ExecutionResult:
        result: Any = self.build_per_event_executor(event).execute_operation(False)
        return await cast("Awaitable[ExecutionResult]", result) if self.is_awaitable(result) else result


def is_viewer_independent(operation: OperationDefinitionNode) -> bool:
    """Whether the operation selects only VIEWER_INDEPENDENT_FIELDS of its events. With a fragment it counts as not."""
    independent = True

    def visit(node: SelectionNode, level: int) -> int | None:
        nonlocal independent
        if isinstance(node, FieldNode) and level == 0 and node.selection_set is not None:
            return level + 1
        independent &= isinstance(node, FieldNode) and node.name.value in VIEWER_INDEPENDENT_FIELDS
        return None

    walk(operation.selection_set, 0, visit)
    return independent


def event_variables(operation: OperationDefinitionNode, fragments: Fragments) -> set[str]:
    """The variables that an event's result may depend on: all but those in the subscription field's own arguments."""
    names: set[str] = set()

    def visit(node: SelectionNode, level: int) -> int:
        for directive in node.directives or ():
            names.update(variables_in(directive))
        if level > 0:
            names.update(variables_in(node))
        return level + isinstance(node, FieldNode)

    walk(operation.selection_set, 0, visit, fragments=fragments)
    return names
