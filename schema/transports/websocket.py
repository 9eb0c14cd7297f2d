"""graphql-transport-ws (github.com/enisdenjo/graphql-ws, PROTOCOL.md): any number of operations over one WebSocket.

Outgoing messages wait in the connection's own buffer and nowhere else: an operation whose client does not read stands
still, and in the end the server drops the client (see `caret.websocket_deadline`).
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, aclosing
from dataclasses import replace
from typing import Any, Final

import orjson
import structlog
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from models.limits import limit
from resolvers.core.allowance import Meter
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.failures import report_failure
from schema.execution.operation import OperationRequest
from schema.execution.request import Options, Request
from schema.transports.credentials import authenticated
from schema.transports.requests import read_operation
from schema.transports.run import OperationResult, refused, run
from schema.transports.websocket_messages import ClientMessage, Close, SocketClosed, malformed, read_message
from streaming.connections import TOO_MANY_UNAUTHENTICATED, Connections
from streaming.token_expiry import TOKEN_EXPIRED, wait_for_token_expiry

log = structlog.get_logger()

PROTOCOL: Final = "graphql-transport-ws"
INIT_TIMEOUT_SECONDS = limit(
    10.0,
    "Time in which a WebSocket must send `connection_init`",
    area="Live",
    beyond="close 4408",
    unit="seconds",
)
PING_SECONDS = limit(
    12.0,
    "Time between two pings on a WebSocket; with the stall timeout, the longest silence of a client",
    area="Live",
    beyond="close 4499",
    unit="seconds",
)
MAX_SOCKET_OPERATIONS = limit(
    100, "Operations that run on one WebSocket at a time", area="Live", beyond="an `error` message, RATE_LIMITED"
)
MESSAGES_PER_TURN: Final = 50
"""Messages of one connection that are handled before other connections have their turn."""
CONCURRENT_AUTHENTICATIONS: Final = 20
"""When all clients reconnect at once, they wait here and not for connections to the database."""


class SocketTransport:
    """Every WebSocket of this process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._authentications = asyncio.Semaphore(CONCURRENT_AUTHENTICATIONS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        speaks_protocol = PROTOCOL in socket.scope["subprotocols"]
        # Accepted even to be refused: before that, a client can't be given a close code.
        await socket.accept(PROTOCOL if speaks_protocol else None)
        if not speaks_protocol:
            await socket.close(Close.SUBPROTOCOL, "Subprotocol not acceptable")
            return
        with ExitStack() as counted:
            connections: Connections = socket.state.connections
            request = Request(socket.state.context, headers=socket.headers, options=self._options)
            connection = SocketConnection(socket, request, connections, self._authentications, counted)
            try:
                connection.authenticates = counted.enter_context(connections.unauthenticated(connection.evict))
            except Problem as problem:
                await socket.close(Close.TRY_LATER, problem.message)
                return
            await connection.serve()


class SocketConnection:
    def __init__(
        self,
        socket: WebSocket,
        request: Request,
        connections: Connections,
        authentications: asyncio.Semaphore,
        counted: ExitStack,
    ) -> None:
        self._socket = socket
        self._request = request
        self._connections = connections
        self._authentications = authentications
        self._counted = counted
        self._init_received = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._last_received = time.monotonic()
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.authenticates: Callable[[], None] = lambda: None

    def evict(self) -> None:
        """Ends the connection to make room for others."""
        if not self._ended.done():
            self._ended.set_exception(SocketClosed(Close.TRY_LATER, TOO_MANY_UNAUTHENTICATED))

    async def serve(self) -> None:
        """Runs until the client leaves or is closed, then cancels everything that the connection started."""
        for part in (self._read(), self._watch(), self._ping()):
            self._start(part)
        try:
            await self._ended
        except SocketClosed as closed:
            await self._close(closed.code, str(closed))
        except Exception as error:  # noqa: BLE001 (the client is told to come back, and a bug is reported)
            report_failure("socket.failed", error)
            # Not 1011, which the protocol's clients take for final.
            await self._close(Close.TRY_LATER, "Internal server error")
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        """If one task fails, the connection ends. A client that has left is no failure."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None or self._ended.done():
            return
        if isinstance(error, WebSocketDisconnect):
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)

    async def _close(self, code: Close, reason: str) -> None:
        try:
            # A reason has at most 123 bytes of UTF-8 (RFC 6455, 5.5).
            await self._socket.close(code, reason.encode()[:120].decode(errors="ignore"))
        except (WebSocketDisconnect, RuntimeError):
            log.debug("socket.gone")

    async def _send(self, kind: str, operation_id: str | None = None, **fields: Any) -> None:
        ident = {} if operation_id is None else {"id": operation_id}
        await self._socket.send_text(orjson.dumps({**ident, "type": kind, **fields}, default=str).decode())

    async def _send_next(self, operation_id: str, body: bytes) -> None:
        message = b'{"id":%b,"type":"next","payload":%b}' % (orjson.dumps(operation_id), body)
        await self._socket.send_text(message.decode())

    async def _read(self) -> None:
        for count in itertools.count(1):
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1005))
            await self._handle(read_message(received, is_authenticated=self._acknowledged.is_set()))
            # Set afterwards: the time that the server takes to handle a message is not the client's silence.
            self._last_received = time.monotonic()
            if count % MESSAGES_PER_TURN == 0:
                # Messages that have arrived are received without a pause, so other connections would wait for all.
                await asyncio.sleep(0)

    async def _watch(self) -> None:
        """Closes the connection if no connection_init comes in time, and when the caller's token expires."""
        try:
            async with asyncio.timeout(INIT_TIMEOUT_SECONDS):
                await self._init_received.wait()
        except TimeoutError:
            raise SocketClosed(Close.INIT_TIMEOUT, "Connection initialisation timeout") from None
        await self._acknowledged.wait()
        await wait_for_token_expiry(self._request.ctx.caller)
        raise SocketClosed(Close.FORBIDDEN, TOKEN_EXPIRED)

    async def _ping(self) -> None:
        await self._acknowledged.wait()
        longest_silence = PING_SECONDS + self._request.ctx.limits.stall_timeout_seconds
        while True:
            await asyncio.sleep(PING_SECONDS)
            if time.monotonic() - self._last_received > longest_silence:
                raise SocketClosed(Close.SILENT, "The client sent nothing for too long, not even a pong")
            await self._send("ping")

    async def _handle(self, message: ClientMessage) -> None:
        match message.type:
            case "connection_init":
                await self._init(message.payload)
            case "ping":
                await self._send("pong", **({} if message.payload is None else {"payload": message.payload}))
            case "subscribe":
                await self._subscribe(message)
            case "complete":
                if operation := self._operations.pop(message.id, None):
                    operation.cancel()

    async def _init(self, payload: dict[str, Any] | None) -> None:
        self._init_received.set()
        self.authenticates()
        if self._request.connection_params is not None:
            raise SocketClosed(Close.TOO_MANY, "Too many initialisation requests")
        ctx = await self._authenticate(payload or {})
        self._request = replace(self._request, ctx=ctx, connection_params=payload or {})
        self._counted.close()
        try:
            self._counted.enter_context(self._connections.open(ctx))
        except Problem as problem:
            # The protocol's clients take this code for final, since reconnecting at once would not help.
            raise SocketClosed(Close.TOO_MANY, problem.message) from None
        await self._send("connection_ack")
        self._acknowledged.set()

    async def _authenticate(self, params: dict[str, Any]) -> Context:
        """A socket needs a credential: in its headers, or in the payload of connection_init under the same names."""
        as_headers = {name.lower(): value for name, value in params.items() if isinstance(value, str)}
        try:
            async with self._authentications:
                ctx = await authenticated(self._request.ctx, {**self._request.headers, **as_headers}, Meter())
        except Problem as problem:
            code = Close.TRY_LATER if problem.code is ErrorCode.RATE_LIMITED else Close.FORBIDDEN
            raise SocketClosed(code, problem.message) from None
        if ctx.caller is None:
            raise SocketClosed(Close.FORBIDDEN, "Authentication is required.")
        return ctx

    async def _subscribe(self, message: ClientMessage) -> None:
        if not self._acknowledged.is_set():
            raise SocketClosed(Close.UNAUTHORIZED, "Unauthorized")
        if message.id in self._operations:
            raise SocketClosed(Close.EXISTS, f"Subscriber for {message.id} already exists")
        try:
            operation = read_operation(message.payload)
        except Problem as problem:
            raise malformed(problem.message) from None
        if len(self._operations) < MAX_SOCKET_OPERATIONS:
            self._operations[message.id] = self._start(self._run(message.id, operation))
            return
        text = f"{MAX_SOCKET_OPERATIONS} operations run on this connection, which is the limit."
        result = refused(Problem(ErrorCode.RATE_LIMITED, text))
        # Sent here and not by a task: a client that keeps sending and never reads would have any number of tasks.
        await self._send("error", message.id, payload=result.payload["errors"])

    async def _run(self, operation_id: str, operation: OperationRequest) -> None:
        outcome = await run(operation, self._request)
        if isinstance(outcome, OperationResult):
            if outcome.executed:
                await self._send_next(operation_id, outcome.body)
            await self._end(operation_id, None if outcome.executed else outcome.payload["errors"])
            return
        async with aclosing(outcome) as events:
            async for event in events:
                if event.failed:
                    await self._end(operation_id, event.errors)
                    return
                await self._send_next(operation_id, event.body)
        await self._end(operation_id, None)

    async def _end(self, operation_id: str, errors: Any) -> None:
        """Sends the last message of an operation, after which its id is free."""
        del self._operations[operation_id]
        if errors is None:
            await self._send("complete", operation_id)
        else:
            await self._send("error", operation_id, payload=errors)
