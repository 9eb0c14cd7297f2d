"""GraphQL over server-sent events in the single connection mode of the graphql-sse protocol.

One stream carries the events of many operations, which are sent by requests of their own. All of them must reach this
process: the reservations are in its memory.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from uuid import UUID

import orjson
from strawberry.types.graphql import OperationType

from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem, bad_input
from schema.execution.operation import OperationRequest
from schema.execution.request import MAX_EVENTS_IN_FLIGHT, Request
from schema.execution.run import OperationResult, SubscriptionStream, run
from schema.transports import sse
from schema.transports.media_types import SSE
from schema.transports.streaming import Streamed, admitted
from schema.transports.websocket_messages import MAX_ID

TOKEN = "X-GraphQL-Event-Stream-Token"  # noqa: S105 (its name)
"""The header with the token of a reservation; as a parameter of the address it is `token`."""
UNCLAIMED = 60.0
"""Seconds in which a reservation must be claimed."""
MAX_RESERVATIONS = 10_000
MAX_OF_ONE = 20
"""Reservations of this process, and of one caller, whether or not they are claimed."""
MAX_OPERATIONS = 100
"""Operations that may run on one stream at a time."""
WAITING = 8
"""Events that may wait for a reader; then the operations wait."""


@dataclass(eq=False)
class Running:
    """An operation on a stream, without a task while it starts."""

    task: asyncio.Task[None] | None = None
    stopped: bool = False

    def stop(self) -> None:
        self.stopped = True
        if self.task is not None:
            self.task.cancel()


@dataclass(eq=False)
class StreamReservation:
    caller: tuple[UUID, UUID]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    claimed: bool = False
    ended: bool = False
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_EVENTS_IN_FLIGHT))
    events: asyncio.Queue[tuple[Running, bytes]] = field(default_factory=lambda: asyncio.Queue(WAITING))
    operations: dict[str, Running] = field(default_factory=dict)

    def stop(self, ident: str) -> None:
        if running := self.operations.pop(ident, None):
            running.stop()

    def forget(self, ident: str, running: Running) -> None:
        # Stopped, it may have left its id to another.
        if self.operations.get(ident) is running:
            del self.operations[ident]


class StreamReservations:
    """Every reservation of this process, by its token; those of others are NOT_FOUND, like those that are not."""

    def __init__(self) -> None:
        self._all: dict[str, StreamReservation] = {}

    def make(self, ctx: Context) -> str:
        """The token of a new reservation. Raises RATE_LIMITED."""
        mine = caller(ctx)
        if sum(made.caller == mine for made in self._all.values()) >= MAX_OF_ONE:
            text = f"You have {MAX_OF_ONE} event streams with this server, which is the limit. Close one first."
            raise Problem(ErrorCode.RATE_LIMITED, text)
        if len(self._all) >= MAX_RESERVATIONS:
            raise Problem(ErrorCode.UNAVAILABLE, "This server can take no more event streams now.")
        made = StreamReservation(mine)
        self._all[made.token] = made
        asyncio.get_running_loop().call_later(UNCLAIMED, self._expire, made)
        return made.token

    def _expire(self, made: StreamReservation) -> None:
        if not made.claimed:
            self._end(made)

    def _end(self, made: StreamReservation) -> None:
        made.ended = True
        self._all.pop(made.token, None)
        for ident in list(made.operations):
            made.stop(ident)

    def find(self, ctx: Context, token: str) -> StreamReservation:
        found = self._all.get(token)
        if found is None or found.caller != caller(ctx):
            raise unknown()
        return found

    def claim(self, ctx: Context, token: str) -> Streamed:
        """The stream itself, which ends the reservation with it. Raises CONFLICT where another has it."""
        made = self.find(ctx, token)
        if made.claimed:
            raise Problem(ErrorCode.CONFLICT, "This event stream is open already.")
        made.claimed = True
        streamed = Streamed(_told(made), media_type=SSE, beat=sse.BEAT, patience=ctx.limits.stall_timeout_seconds)
        streamed.closing.callback(self._end, made)
        return streamed


def unknown() -> Problem:
    return Problem(ErrorCode.NOT_FOUND, "There is no such event stream here: make a reservation first.")


async def _told(made: StreamReservation) -> AsyncGenerator[bytes, None]:
    yield sse.BEAT
    while True:
        running, event = await made.events.get()
        # Of one that was stopped nothing more is told: its id may be another's by now.
        if not running.stopped:
            yield event


def caller(ctx: Context) -> tuple[UUID, UUID]:
    return ctx.viewer.workspace_id, ctx.viewer.actor_id


async def start(
    made: StreamReservation, operation: OperationRequest, request: Request, allowed: Collection[OperationType]
) -> OperationResult | None:
    """Starts an operation on a stream. An answer is why it was refused."""
    ident = _named(operation)
    if made.ended:
        raise unknown()
    if ident in made.operations:
        raise Problem(ErrorCode.CONFLICT, f"An operation with the id {ident!r} is running.", "extensions.operationId")
    if len(made.operations) >= MAX_OPERATIONS:
        text = f"{MAX_OPERATIONS} operations run on this event stream, which is the limit."
        raise Problem(ErrorCode.RATE_LIMITED, text)
    running = made.operations[ident] = Running()
    try:
        found = await run(operation, replace(request, in_flight=made.turns), allowed=allowed)
    except BaseException:
        made.forget(ident, running)
        raise
    if isinstance(found, OperationResult) and not found.executed:
        made.forget(ident, running)
        return found
    if not running.stopped:
        running.task = asyncio.create_task(_follow(made, ident, running, found, request))
        # A task that is cancelled before it has begun would not close what it was to follow.
        await asyncio.sleep(0)
    elif isinstance(found, SubscriptionStream):
        await found.aclose()
    return None


def _named(operation: OperationRequest) -> str:
    ident = operation.extensions.get("operationId")
    if not isinstance(ident, str) or not 0 < len(ident) <= MAX_ID:
        raise bad_input(
            "extensions.operationId", f"An operation on an event stream needs an id of 1 to {MAX_ID} characters."
        )
    return ident


async def _follow(
    made: StreamReservation, ident: str, running: Running, found: OperationResult | SubscriptionStream, request: Request
) -> None:
    try:
        if isinstance(found, OperationResult):
            await _tell(made, ident, running, found.body)
        else:
            async with aclosing(admitted(found, request.ctx.caller)) as events:
                async for event in events:
                    await _tell(made, ident, running, event.body, event.cursor)
        await made.events.put((running, b"event: complete\ndata: %b\n\n" % orjson.dumps({"id": ident})))
    finally:
        made.forget(ident, running)


async def _tell(made: StreamReservation, ident: str, running: Running, body: bytes, cursor: str | None = None) -> None:
    event = sse.written(b'{"id":%b,"payload":%b}' % (orjson.dumps(ident), body), cursor)
    await made.events.put((running, event))
