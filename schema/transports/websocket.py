"""graphql-transport-ws (github.com/enisdenjo/graphql-ws, PROTOCOL.md): any number of operations over one WebSocket.

What is sent waits in the connection's own buffer and nowhere else: an operation whose client does not read stands
still, and in the end the server gives the client up (see `caret.websocket_deadline`).
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, aclosing
from dataclasses import replace
from typing import Any

import orjson
import structlog
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from resolvers.core.allowance import Meter
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from schema.execution.operation import OperationRequest
from schema.execution.request import Options, Request
from schema.execution.run import OperationResult, refused, run
from schema.transports.credentials import CROWDED, Connections, viewing
from schema.transports.requests import read_operation
from schema.transports.token_expiry import EXPIRED, until_expiry
from schema.transports.websocket_messages import Close, Message, Refusal, malformed, read_message

log = structlog.get_logger()

PROTOCOL = "graphql-transport-ws"
INIT_TIMEOUT = 10.0
"""Seconds that a WebSocket may wait with its connection_init."""
PING = 12.0
"""Seconds between two pings, as graphql-ws has them. Who is not heard for longer than that, and for as long as a
follower may take to read, has left."""
MAX_OPERATIONS = 100
"""Operations that may run on one WebSocket at a time."""
AT_A_TIME = 50
"""Messages of one connection that are taken before others have their turn."""
COMING_IN = 20
"""Connections that are let in at a time: when all come back at once they wait here, not for the database."""


class SocketTransport:
    """Every WebSocket of this process."""

    def __init__(self, options: Options, connections: Connections) -> None:
        self._options = options
        self._connections = connections
        self._door = asyncio.Semaphore(COMING_IN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        known = PROTOCOL in socket.scope["subprotocols"]
        # Also to refuse it: before that a client could not be told the code.
        await socket.accept(PROTOCOL if known else None)
        if not known:
            await socket.close(Close.SUBPROTOCOL, "Subprotocol not acceptable")
            return
        with ExitStack() as counted:
            request = Request(socket.state.context, headers=socket.headers, options=self._options)
            connection = Connection(socket, request, self._connections, self._door, counted)
            try:
                connection.speaks = counted.enter_context(self._connections.stranger(connection.crowded_out))
            except Problem as problem:
                await socket.close(Close.TRY_LATER, problem.message)
                return
            await connection.serve()


class Connection:
    def __init__(
        self,
        socket: WebSocket,
        request: Request,
        connections: Connections,
        door: asyncio.Semaphore,
        counted: ExitStack,
    ) -> None:
        self._socket = socket
        self._request = request
        self._connections = connections
        self._door = door
        self._counted = counted
        self._introduced = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._heard = time.monotonic()
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.speaks: Callable[[], None] = lambda: None

    def crowded_out(self) -> None:
        """Ends the connection for others to be let in."""
        if not self._broken.done():
            self._broken.set_exception(Refusal(Close.TRY_LATER, CROWDED))

    async def serve(self) -> None:
        """Until the client leaves, or is closed. Nothing that it had started goes on after that."""
        for part in (self._read(), self._watch(), self._ping()):
            self._start(part)
        try:
            await self._broken
        except Refusal as refusal:
            await self._close(refusal.code, str(refusal))
        except Exception:
            log.exception("socket.failed")
            # Not 1011, which the protocol's clients take for final.
            await self._close(Close.TRY_LATER, "Internal server error")
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """One task's failure is the end of the connection; a client that has left is none."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None or self._broken.done():
            return
        if isinstance(error, WebSocketDisconnect):
            self._broken.set_result(None)
        else:
            self._broken.set_exception(error)

    async def _close(self, code: Close, reason: str) -> None:
        try:
            # A reason is 123 bytes of UTF-8 at most (RFC 6455, 5.5).
            await self._socket.close(code, reason.encode()[:120].decode(errors="ignore"))
        except (WebSocketDisconnect, RuntimeError):
            log.debug("socket.gone")

    async def _send(self, kind: str, ident: str | None = None, **more: Any) -> None:
        named = {} if ident is None else {"id": ident}
        await self._socket.send_text(orjson.dumps({**named, "type": kind, **more}, default=str).decode())

    async def _next(self, ident: str, body: bytes) -> None:
        message = b'{"id":%b,"type":"next","payload":%b}' % (orjson.dumps(ident), body)
        await self._socket.send_text(message.decode())

    async def _read(self) -> None:
        for count in itertools.count(1):
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1005))
            await self._take(read_message(received, known=self._acknowledged.is_set()))
            # Afterwards: what we take for it is not the client's silence.
            self._heard = time.monotonic()
            if count % AT_A_TIME == 0:
                # What has come already is received at once: the others would wait for all of it.
                await asyncio.sleep(0)

    async def _watch(self) -> None:
        """Closes whoever does not introduce themselves, and whose token expires."""
        try:
            async with asyncio.timeout(INIT_TIMEOUT):
                await self._introduced.wait()
        except TimeoutError:
            raise Refusal(Close.INIT_TIMEOUT, "Connection initialisation timeout") from None
        await self._acknowledged.wait()
        await until_expiry(self._request.ctx.caller)
        raise Refusal(Close.FORBIDDEN, EXPIRED)

    async def _ping(self) -> None:
        await self._acknowledged.wait()
        patience = PING + self._request.ctx.limits.stall_timeout_seconds
        while True:
            await asyncio.sleep(PING)
            if time.monotonic() - self._heard > patience:
                raise Refusal(Close.SILENT, "Nothing was heard from you, not even a pong")
            await self._send("ping")

    async def _take(self, message: Message) -> None:
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
        self._introduced.set()
        self.speaks()
        if self._request.connection_params is not None:
            raise Refusal(Close.TOO_MANY, "Too many initialisation requests")
        ctx = await self._viewing(payload or {})
        self._request = replace(self._request, ctx=ctx, connection_params=payload or {})
        self._counted.close()
        try:
            self._counted.enter_context(self._connections.counted(ctx))
        except Problem as problem:
            # The clients of the protocol take this code for final: to come back at once would not help.
            raise Refusal(Close.TOO_MANY, problem.message) from None
        await self._send("connection_ack")
        self._acknowledged.set()

    async def _viewing(self, params: dict[str, Any]) -> Context:
        """A socket needs a viewer: from its headers, or from the payload of connection_init under the same names."""
        given = {name.lower(): value for name, value in params.items() if isinstance(value, str)}
        try:
            async with self._door:
                ctx = await viewing(self._request.ctx, {**self._request.headers, **given}, Meter())
        except Problem as problem:
            code = Close.TRY_LATER if problem.code is ErrorCode.RATE_LIMITED else Close.FORBIDDEN
            raise Refusal(code, problem.message) from None
        if ctx.caller is None:
            raise Refusal(Close.FORBIDDEN, "Authentication is required.")
        return ctx

    async def _subscribe(self, message: Message) -> None:
        if not self._acknowledged.is_set():
            raise Refusal(Close.UNAUTHORIZED, "Unauthorized")
        if message.id in self._operations:
            raise Refusal(Close.EXISTS, f"Subscriber for {message.id} already exists")
        try:
            operation = read_operation(message.payload)
        except Problem as problem:
            raise malformed(problem.message) from None
        if len(self._operations) < MAX_OPERATIONS:
            self._operations[message.id] = self._start(self._run(message.id, operation))
            return
        text = f"{MAX_OPERATIONS} operations run on this connection, which is the limit."
        answer = refused(Problem(ErrorCode.RATE_LIMITED, text))
        # Not by a task of its own: who sends on and reads nothing would have any number of them.
        await self._send("error", message.id, payload=answer.payload["errors"])

    async def _run(self, ident: str, operation: OperationRequest) -> None:
        found = await run(operation, self._request)
        if isinstance(found, OperationResult):
            if found.executed:
                await self._next(ident, found.body)
            await self._end(ident, None if found.executed else found.payload["errors"])
            return
        async with aclosing(found) as events:
            async for event in events:
                if event.failed:
                    await self._end(ident, event.errors)
                    return
                await self._next(ident, event.body)
        await self._end(ident, None)

    async def _end(self, ident: str, errors: Any) -> None:
        """The last word of an operation, after which its id is free."""
        del self._operations[ident]
        if errors is None:
            await self._send("complete", ident)
        else:
            await self._send("error", ident, payload=errors)
