"""GraphQL over server-sent events in the single connection mode of the graphql-sse protocol.

One stream carries the events of many operations, which are sent in requests of their own. All of them must reach the
same process, since the reservations are kept in its memory.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

import orjson
from strawberry.types.graphql import OperationType

from models.limits import limit
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem, bad_input
from schema.execution.operation import OperationRequest
from schema.execution.request import MAX_EVENTS_IN_FLIGHT, Request
from schema.transports import sse
from schema.transports.delivery import events_of
from schema.transports.media_types import SSE
from schema.transports.run import OperationResult, SubscriptionStream, run
from schema.transports.websocket_messages import MAX_OPERATION_ID_CHARACTERS
from streaming.response import StreamResponse
from streaming.sse import encode_event

TOKEN: Final = "X-GraphQL-Event-Stream-Token"  # noqa: S105 (its name)
"""The header with the token of a reservation. In the query string the token is the parameter `token`."""
_AREA = "Event streams in single connection mode"
RESERVATION_SECONDS = limit(
    60.0, "Time in which a reservation must be used to open its stream", area=_AREA, beyond="404", unit="seconds"
)
MAX_RESERVATIONS = limit(10_000, "Event streams of a process, open or reserved", area=_AREA, beyond="UNAVAILABLE, 503")
MAX_RESERVATIONS_PER_CALLER = limit(
    20, "Event streams of one caller, open or reserved", area=_AREA, beyond="RATE_LIMITED, 429"
)
MAX_STREAM_OPERATIONS = limit(
    100, "Operations that run on one event stream at a time", area=_AREA, beyond="RATE_LIMITED, 429"
)
QUEUED_EVENTS: Final = 8
"""Events that wait for a client to read; beyond that the operations wait."""


@dataclass(eq=False)
class StreamOperation:
    """An operation on a stream. It has no task while it starts."""

    task: asyncio.Task[None] | None = None
    stopped: bool = False

    def stop(self) -> None:
        self.stopped = True
        if self.task is not None:
            self.task.cancel()


@dataclass(eq=False)
class StreamReservation:
    """A stream, open or about to be opened by the caller who has its token."""

    caller: tuple[UUID, UUID]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    is_open: bool = False
    ended: bool = False
    in_flight: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_EVENTS_IN_FLIGHT))
    events: asyncio.Queue[tuple[StreamOperation, bytes]] = field(default_factory=lambda: asyncio.Queue(QUEUED_EVENTS))
    operations: dict[str, StreamOperation] = field(default_factory=dict)

    def stop(self, operation_id: str) -> None:
        if operation := self.operations.pop(operation_id, None):
            operation.stop()

    def forget(self, operation_id: str, operation: StreamOperation) -> None:
        # If the operation was stopped, another one may have its id by now.
        if self.operations.get(operation_id) is operation:
            del self.operations[operation_id]

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        yield sse.KEEP_ALIVE
        while True:
            operation, event = await self.events.get()
            # Events of a stopped operation are dropped, since another one may have its id by now.
            if not operation.stopped:
                yield event


class StreamReservations:
    """The reservations of this process, by token. Another caller's token is NOT_FOUND, like an unknown one."""

    def __init__(self) -> None:
        self._by_token: dict[str, StreamReservation] = {}

    def create(self, ctx: Context) -> str:
        """The token of a new reservation. Raises RATE_LIMITED or UNAVAILABLE if there are too many."""
        caller = _caller(ctx)
        if sum(reservation.caller == caller for reservation in self._by_token.values()) >= MAX_RESERVATIONS_PER_CALLER:
            text = f"You have {MAX_RESERVATIONS_PER_CALLER} event streams with this server, which is the limit."
            raise Problem(ErrorCode.RATE_LIMITED, f"{text} Close one first.")
        if len(self._by_token) >= MAX_RESERVATIONS:
            raise Problem(ErrorCode.UNAVAILABLE, "This server can take no more event streams now.")
        reservation = StreamReservation(caller)
        self._by_token[reservation.token] = reservation
        asyncio.get_running_loop().call_later(RESERVATION_SECONDS, self._expire, reservation)
        return reservation.token

    def _expire(self, reservation: StreamReservation) -> None:
        if not reservation.is_open:
            self._end(reservation)

    def _end(self, reservation: StreamReservation) -> None:
        reservation.ended = True
        self._by_token.pop(reservation.token, None)
        for operation_id in list(reservation.operations):
            reservation.stop(operation_id)

    def get(self, ctx: Context, token: str) -> StreamReservation:
        reservation = self._by_token.get(token)
        if reservation is None or reservation.caller != _caller(ctx):
            raise unknown_stream()
        return reservation

    def open(self, ctx: Context, token: str) -> StreamResponse:
        """The stream itself; the reservation ends with it. Raises CONFLICT if the stream is already open."""
        reservation = self.get(ctx, token)
        if reservation.is_open:
            raise Problem(ErrorCode.CONFLICT, "This event stream is open already.")
        reservation.is_open = True
        stall_timeout = ctx.limits.stall_timeout_seconds
        response = StreamResponse(
            reservation.chunks(), media_type=SSE, keep_alive=sse.KEEP_ALIVE, stall_timeout=stall_timeout
        )
        response.closing.callback(self._end, reservation)
        return response


def unknown_stream() -> Problem:
    return Problem(ErrorCode.NOT_FOUND, "There is no such event stream here: make a reservation first.")


def _caller(ctx: Context) -> tuple[UUID, UUID]:
    return ctx.viewer.workspace_id, ctx.viewer.actor_id


async def start(
    reservation: StreamReservation, sent: OperationRequest, request: Request, allowed: Collection[OperationType]
) -> OperationResult | None:
    """Starts an operation on a stream. If it is refused, the result says why."""
    operation_id = _operation_id(sent)
    if reservation.ended:
        raise unknown_stream()
    if operation_id in reservation.operations:
        text = f"An operation with the id {operation_id!r} is running."
        raise Problem(ErrorCode.CONFLICT, text, "extensions.operationId")
    if len(reservation.operations) >= MAX_STREAM_OPERATIONS:
        text = f"{MAX_STREAM_OPERATIONS} operations run on this event stream, which is the limit."
        raise Problem(ErrorCode.RATE_LIMITED, text)
    operation = reservation.operations[operation_id] = StreamOperation()
    try:
        outcome = await run(sent, replace(request, in_flight=reservation.in_flight), allowed=allowed)
    except BaseException:
        reservation.forget(operation_id, operation)
        raise
    if isinstance(outcome, OperationResult) and not outcome.executed:
        reservation.forget(operation_id, operation)
        return outcome
    if not operation.stopped:
        operation.task = asyncio.create_task(_deliver(reservation, operation_id, operation, outcome, request))
        # A task that is cancelled before it has begun would not close the stream that it was given.
        await asyncio.sleep(0)
    elif isinstance(outcome, SubscriptionStream):
        await outcome.aclose()
    return None


def _operation_id(sent: OperationRequest) -> str:
    operation_id = sent.extensions.get("operationId")
    if not isinstance(operation_id, str) or not 0 < len(operation_id) <= MAX_OPERATION_ID_CHARACTERS:
        text = f"An operation on an event stream needs an id of 1 to {MAX_OPERATION_ID_CHARACTERS} characters."
        raise bad_input("extensions.operationId", text)
    return operation_id


async def _deliver(
    reservation: StreamReservation,
    operation_id: str,
    operation: StreamOperation,
    outcome: OperationResult | SubscriptionStream,
    request: Request,
) -> None:
    ident = orjson.dumps(operation_id)

    async def send(body: bytes, cursor: str | None = None) -> None:
        event = sse.encode_next(b'{"id":%b,"payload":%b}' % (ident, body), cursor)
        await reservation.events.put((operation, event))

    try:
        if isinstance(outcome, OperationResult):
            await send(outcome.body)
        else:
            async with aclosing(events_of(outcome, request.ctx.caller)) as events:
                async for event in events:
                    await send(event.body, event.cursor)
        await reservation.events.put((operation, encode_event(b'{"id":%b}' % ident, event="complete")))
    finally:
        reservation.forget(operation_id, operation)
