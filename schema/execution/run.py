"""Runs an operation for a transport: one answer, or a stream of events once it is sure that there will be one."""

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
from schema.execution.shared_results import Followed
from schema.transports.requests import Operation
from schema.types.base import Request

EVERY = frozenset(OperationType)


@dataclass(frozen=True, slots=True)
class Answer:
    """`payload` as it is sent: `data`, `errors`, `extensions`. `started` False: the operation was refused before it
    ran, and there is no `data`."""

    payload: dict[str, Any]
    started: bool = True

    @property
    def body(self) -> bytes:
        return _json(self.payload)

    @property
    def status(self) -> int:
        """The HTTP status of what was refused; 200 of what ran, whatever became of its fields."""
        return 200 if self.started else int(self.payload["errors"][0]["extensions"]["status"])


@dataclass(frozen=True, slots=True)
class Event:
    """`body` is its payload as JSON, `cursor` that of the event, whether or not the operation asked for it. `failed`:
    it is none, but the errors that have ended the stream."""

    body: bytes
    cursor: str | None = None
    failed: bool = False

    @property
    def errors(self) -> Any:
        return orjson.loads(self.body)["errors"]


class Stream:
    """The events of a subscription that has passed its checks.

    Close it (`contextlib.aclosing`), read or not: whatever it follows is closed with it, at once. An event of the log
    has one of its connection's turns until the next one is asked for: so what a client does not read is not rendered.
    """

    def __init__(self, first: asyncio.Future[Any], results: AsyncGenerator[Any, None], request: Request) -> None:
        self._first: asyncio.Future[Any] | None = first
        self._results = results
        self._request = request
        self._over = False
        self._has_turn = False

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Event:
        self._pass_on()
        followed = self._request.followed
        event = None if self._over else await (self._executed() if followed is None else self._told(followed))
        if event is None:
            raise StopAsyncIteration
        self._over = event.failed
        return event

    async def _executed(self) -> Event | None:
        if self._first is not None:
            result = await self._first
            self._first = None
        else:
            result = await anext(self._results, None)
        if result is None:
            return None
        return Event(_json(_payload(result)), self._request.cursor, _is_end(result))

    async def _told(self, followed: Followed) -> Event | None:
        try:
            row = await anext(followed.rows, None)
            if row is None:
                return None
            await self._request.turns.acquire()
            self._has_turn = True
            return Event(await followed.told(row), cursor(row))
        except Exception as error:  # noqa: BLE001 (the last chance to answer; what is not for callers' eyes is logged)
            return ended(error)

    def _pass_on(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._request.turns.release()

    async def aclose(self) -> None:
        self._pass_on()
        if self._first is not None:
            # A generator can't be closed while somebody waits for its next value.
            self._first.cancel()
            await asyncio.wait({self._first})
        await self._results.aclose()


def ended(error: Exception) -> Event:
    """The errors that have ended a stream."""
    told = render(GraphQLError(str(error), original_error=error))
    return Event(_json({"errors": [told.formatted]}), failed=True)


async def run(
    operation: Operation,
    request: Request,
    *,
    allowed: Collection[OperationType] = EVERY,
    admit: Callable[[], object] | None = None,
) -> Answer | Stream:
    """Runs the operation, or refuses it: that is an Answer too, for a subscription as well.

    `admit` is called before a subscription begins, which may write: what it raises is raised.
    """
    try:
        text = request.options.persisted.find(operation)
    except Problem as problem:
        return refused(problem)
    mine = request.own()
    given = text, operation.variables or None, mine, None, operation.name
    # No document has a subscription without this word: there is nothing to wait for but the answer.
    if "subscription" not in text:
        found: Answer | Stream = answer(await schema.execute(*given, allowed))
    else:
        if admit is not None and OperationType.SUBSCRIPTION in allowed:
            admit()
        found = await _begun(await schema.stream(*given, None, allowed), mine)
    if not isinstance(found, Answer) or found.started:
        request.options.persisted.keep(operation)
    return found


def _is_end(result: ExecutionResult) -> bool:
    """Whether the stream itself failed: what went wrong with an event has a path that begins with its field."""
    return result.data is None and bool(result.errors) and not any(error.path for error in result.errors or ())


def refused(problem: Problem) -> Answer:
    error = render(GraphQLError(problem.message, original_error=problem))
    return Answer({"errors": [error.formatted]}, started=False)


def answer(result: ExecutionResult) -> Answer:
    """What a query or mutation gave. Without `data` where it did not run: refused, or wrong in its variables."""
    errors = result.errors or []
    ran = result.data is not None or not errors or any(error.path for error in errors)
    started = ran and not isinstance(result, PreExecutionError)
    return Answer(_payload(result, with_data=started), started)


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


async def _begun(results: AsyncGenerator[Any, None], request: Request) -> Answer | Stream:
    """Waits until the operation has passed its checks, which may be long before its first event."""
    first = asyncio.ensure_future(anext(results, None))
    began = asyncio.ensure_future(request.began.wait())
    stream = Stream(first, results, request)
    try:
        await asyncio.wait({first, began}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await stream.aclose()
        raise
    finally:
        began.cancel()
    if request.began.is_set():
        return stream
    async with aclosing(stream):
        # A schema's stream that ends without a word has had nothing to refuse.
        return answer(first.result() or ExecutionResult(None, None))
