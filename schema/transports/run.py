"""Executes an operation for a transport. The outcome is one result, or a stream once it is certain to start."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import GraphQLError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from resolvers.core.errors import Problem
from resolvers.events.log import cursor
from schema import schema
from schema.execution.masking import render
from schema.execution.operation import OperationRequest
from schema.execution.request import Request
from schema.execution.shared_results import LogSubscription

ALL_OPERATION_TYPES = frozenset(OperationType)


@dataclass(frozen=True, slots=True)
class OperationResult:
    """`payload` as it is sent: `data`, `errors`, `extensions`. If the operation was refused before it was executed,
    `executed` is False and the payload has no `data`."""

    payload: dict[str, Any]
    executed: bool = True

    @property
    def body(self) -> bytes:
        return _json(self.payload)

    @property
    def status(self) -> int:
        """The HTTP status of a refused operation; 200 for an executed one, even if fields failed."""
        return 200 if self.executed else int(self.payload["errors"][0]["extensions"]["status"])


@dataclass(frozen=True, slots=True)
class SubscriptionEvent:
    """`body` is the event's payload as JSON, and `cursor` is its cursor, even if the operation did not select it.

    With `failed`, the body has the errors that have ended the stream.
    """

    body: bytes
    cursor: str | None = None
    failed: bool = False

    @property
    def errors(self) -> Any:
        return orjson.loads(self.body)["errors"]


class SubscriptionStream:
    """The events of a subscription that has passed its checks.

    Close it (`contextlib.aclosing`) whether or not it was read: that closes its source, too. An event of the log
    occupies one of its connection's `in_flight` permits until the next event is requested, so events that a client does
    not read are not rendered.
    """

    def __init__(self, first: asyncio.Future[Any], results: AsyncGenerator[Any, None], request: Request) -> None:
        self._first: asyncio.Future[Any] | None = first
        self._results = results
        self._request = request
        self._ended = False
        self._has_permit = False

    def __aiter__(self) -> "SubscriptionStream":
        return self

    async def __anext__(self) -> SubscriptionEvent:
        self._release_permit()
        if self._ended:
            raise StopAsyncIteration
        log = self._request.log_subscription
        event = await (self._next_result() if log is None else self._next_log_event(log))
        if event is None:
            raise StopAsyncIteration
        self._ended = event.failed
        return event

    async def _next_result(self) -> SubscriptionEvent | None:
        if self._first is not None:
            result = await self._first
            self._first = None
        else:
            result = await anext(self._results, None)
        if result is None:
            return None
        return SubscriptionEvent(_json(_payload(result)), self._request.cursor, _ends_stream(result))

    async def _next_log_event(self, log: LogSubscription) -> SubscriptionEvent | None:
        try:
            row = await anext(log.events, None)
            if row is None:
                return None
            await self._request.in_flight.acquire()
            self._has_permit = True
            return SubscriptionEvent(await log.render(row), cursor(row))
        except Exception as error:  # noqa: BLE001 (the client gets an error of ours masked; `render` logs its traceback)
            return failed_event(error)

    def _release_permit(self) -> None:
        if self._has_permit:
            self._has_permit = False
            self._request.in_flight.release()

    async def aclose(self) -> None:
        self._release_permit()
        if self._first is not None:
            # A generator can't be closed while somebody waits for its next value.
            self._first.cancel()
            await asyncio.wait({self._first})
        await self._results.aclose()


def failed_event(error: Exception) -> SubscriptionEvent:
    """The event that ends a stream with an error."""
    rendered = render(GraphQLError(str(error), original_error=error))
    return SubscriptionEvent(_json({"errors": [rendered.formatted]}), failed=True)


async def run(
    operation: OperationRequest,
    request: Request,
    *,
    allowed: Collection[OperationType] = ALL_OPERATION_TYPES,
    admit: Callable[[], object] | None = None,
) -> OperationResult | SubscriptionStream:
    """Executes the operation. If it is refused, the refusal is an OperationResult, for a subscription as well.

    `admit` is called before a subscription starts, since starting it may write; what `admit` raises is raised.
    """
    try:
        text = request.options.persisted.text_of(operation)
    except Problem as problem:
        return refused(problem)
    own = request.for_operation()
    arguments = text, operation.variables or None, own, None, operation.name
    # A document without this word has no subscription: then there is only one result to wait for.
    if "subscription" not in text:
        outcome: OperationResult | SubscriptionStream = single_result(await schema.execute(*arguments, allowed))
    else:
        if admit is not None and OperationType.SUBSCRIPTION in allowed:
            admit()
        outcome = await _started(await schema.stream(*arguments, None, allowed), own)
    if not isinstance(outcome, OperationResult) or outcome.executed:
        request.options.persisted.store(operation)
    return outcome


def _ends_stream(result: ExecutionResult) -> bool:
    """Whether the stream itself failed. An error of a single event has a path that begins with the event's field."""
    return result.data is None and bool(result.errors) and not any(error.path for error in result.errors or ())


def refused(problem: Problem) -> OperationResult:
    error = render(GraphQLError(problem.message, original_error=problem))
    return OperationResult({"errors": [error.formatted]}, executed=False)


def single_result(result: ExecutionResult) -> OperationResult:
    """The result of a query or mutation, without `data` if it was not executed: refused, or with wrong variables."""
    errors = result.errors or []
    has_run = result.data is not None or not errors or any(error.path for error in errors)
    executed = has_run and not isinstance(result, PreExecutionError)
    return OperationResult(_payload(result, with_data=executed), executed)


def _payload(result: ExecutionResult, *, with_data: bool = True) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    if with_data:
        payload["data"] = result.data
    if result.errors:
        payload["errors"] = [error.formatted for error in result.errors]
    if result.extensions:
        payload["extensions"] = result.extensions
    return payload


def _json(payload: dict[str, Any]) -> bytes:
    return orjson.dumps(payload, default=str)


async def _started(results: AsyncGenerator[Any, None], request: Request) -> OperationResult | SubscriptionStream:
    """Waits until the subscription has passed its checks, which may be long before its first event."""
    first = asyncio.ensure_future(anext(results, None))
    started = asyncio.ensure_future(request.started.wait())
    stream = SubscriptionStream(first, results, request)
    try:
        await asyncio.wait({first, started}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await stream.aclose()
        raise
    finally:
        started.cancel()
    if request.started.is_set():
        return stream
    async with aclosing(stream):
        # A stream of the schema that ends without a result has refused nothing.
        return single_result(first.result() or ExecutionResult(None, None))
