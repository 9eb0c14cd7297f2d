"""graphql-transport-ws at the running server: every message, every code that a connection is closed with."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import websockets
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

from caret.adapters.access_tokens import LEEWAY_SECONDS
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from schema.execution.request import Options, Request
from schema.transports import websocket
from schema.transports.requests import ANONYMOUS_MAX_BODY_BYTES, MAX_ITEMS
from schema.transports.websocket import MESSAGES_PER_TURN, SocketConnection, SocketTransport
from streaming.connections import MAX_UNAUTHENTICATED_SOCKETS, Connections
from streaming.token_expiry import TOKEN_EXPIRED
from tests.conftest import Services, Tenant, make_tenant, token
from tests.support.clients import PROTOCOL, Caller
from tests.support.servers import running_server

INIT = '{"type":"connection_init"}'
SUBSCRIBE = '{"id":"1","type":"subscribe","payload":{"query":"subscription { workspaceEvents { id } }"}}'
# Not those of indexing, which come whenever the machine has time for it.
EVENTS = "subscription { workspaceEvents(types: [NOTE_CREATED, NOTE_UPDATED]) { type note { title } } }"
CREATE = "mutation($t: String!) { createNote(input: {title: $t}) { id } }"
UPDATE = "mutation($n: ID!, $t: String!) { updateNote(id: $n, input: {title: $t}) { id } }"


@asynccontextmanager
async def raw(caller: Caller, *protocols: Subprotocol) -> AsyncIterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {caller.credential}"}
    async with websockets.connect(
        caller.served.ws_url, subprotocols=protocols or [PROTOCOL], additional_headers=headers
    ) as connection:
        yield connection


async def received(connection: ClientConnection) -> Any:
    async with asyncio.timeout(20):
        return json.loads(await connection.recv())


async def closed(connection: ClientConnection) -> tuple[int, str]:
    """How the server closes the connection, whatever it says before."""
    async with asyncio.timeout(20):
        with suppress(websockets.ConnectionClosedError):
            async for _ in connection:
                pass
    assert connection.close_code is not None
    return connection.close_code, connection.close_reason or ""


BAD: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("{", "it is not JSON"),
    "nothing": ("", "it is not JSON"),
    "deep nesting": ("[" * 100_000, "it is not JSON"),
    "a list": ("[]", "it is not a JSON object"),
    "a number": ("5", "it is not a JSON object"),
    "binary": (INIT.encode(), "messages are text, not binary"),
    "no type": ("{}", "there is no such type"),
    "a type that is none": ('{"type":"start"}', "there is no such type"),
    "a type that is no text": ('{"type":["ping"]}', "there is no such type"),
    "a message of the server": ('{"id":"1","type":"next","payload":{}}', "there is no such type"),
    "no id": ('{"type":"subscribe","payload":{"query":"{models{id}}"}}', "the id must be a string of 1 to 1000"),
    "an empty id": ('{"type":"complete","id":""}', "the id must be a string of 1 to 1000"),
    "a number as id": ('{"type":"complete","id":5}', "the id must be a string of 1 to 1000"),
    "a long id": (json.dumps({"type": "complete", "id": "x" * 1_001}), "the id must be a string of 1 to 1000"),
    "a text as payload": ('{"type":"ping","payload":"x"}', "the payload must be a JSON object"),
    "a list as payload": ('{"id":"1","type":"subscribe","payload":[]}', "the payload must be a JSON object"),
    "no payload": ('{"id":"1","type":"subscribe"}', "the payload is missing"),
    "no query": ('{"id":"1","type":"subscribe","payload":{}}', "The query is missing"),
    "a number as query": ('{"id":"1","type":"subscribe","payload":{"query":5}}', "The query must be a string"),
    "variables": (
        '{"id":"1","type":"subscribe","payload":{"query":"{models{id}}","variables":[]}}',
        "The variables must be a JSON object",
    ),
}


@pytest.mark.parametrize(("message", "why"), BAD.values(), ids=BAD.keys())
async def test_a_message_that_the_protocol_does_not_have_closes_the_connection(
    tenant: Tenant, message: str | bytes, why: str
) -> None:
    async with raw(await tenant.key()) as connection:
        await connection.send(INIT)
        assert await received(connection) == {"type": "connection_ack"}
        await connection.send(message)
        code, reason = await closed(connection)
    assert (code, reason.startswith(f"Invalid message received: {why}")) == (4400, True), reason


async def test_a_message_that_is_too_large(tenant: Tenant) -> None:
    async with raw(await tenant.key()) as connection:
        await connection.send(INIT)
        await received(connection)
        with suppress(websockets.ConnectionClosed):
            await connection.send(json.dumps({"type": "ping", "payload": {"x": "x" * 2**22}}))
        assert (await closed(connection))[0] == 1009


async def test_messages_before_authentication_are_small(tenant: Tenant) -> None:
    for size, close_code in ((ANONYMOUS_MAX_BODY_BYTES, None), (ANONYMOUS_MAX_BODY_BYTES + 1, 1009)):
        async with raw(await tenant.key()) as connection:
            message = INIT.ljust(size)
            await connection.send(message)
            if close_code is None:
                assert await received(connection) == {"type": "connection_ack"}
                await connection.send(message.replace("connection_init", "ping").ljust(ANONYMOUS_MAX_BODY_BYTES + 1))
                assert await received(connection) == {"type": "pong"}
            else:
                assert await closed(connection) == (1009, "Before connection_ack a message has at most 65536 bytes")


async def test_items_of_a_message(tenant: Tenant) -> None:
    async with raw(await tenant.key()) as connection:
        await connection.send(INIT)
        await received(connection)
        for items in (MAX_ITEMS, MAX_ITEMS + 1):
            # One of its commas is outside of the list.
            listed = ",".join("0" * items)
            await connection.send(f'{{"type":"pong","payload":{{"a":[{listed}]}}}}')
        text = "The request has more than 100000 elements of lists and fields of objects."
        assert await closed(connection) == (1009, text)


async def test_other_connections_have_their_turn_while_messages_wait() -> None:
    messages: Any = iter(
        [{"type": "websocket.connect"}, *[{"type": "websocket.receive", "text": '{"type":"pong"}'}] * 2_000]
    )

    async def receive() -> Any:
        # As uvicorn's does it while messages wait: without a pause.
        return next(messages, {"type": "websocket.disconnect"})

    async def send(message: Any) -> None:
        pass

    socket = WebSocket({"type": "websocket", "headers": [], "subprotocols": []}, receive, send)
    await socket.accept()
    request: Any = Request(Context.__new__(Context))
    connection = SocketConnection(socket, request, Connections(), asyncio.Semaphore(), ExitStack())
    turns, server_process = 0, asyncio.create_task(connection.serve())
    while not server_process.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 2_000 // MESSAGES_PER_TURN


async def test_codes_of_a_connection(tenant: Tenant) -> None:
    key = await tenant.key()
    for messages, expected in {
        (SUBSCRIBE,): (4401, "Unauthorized"),
        (INIT, INIT): (4429, "Too many initialisation requests"),
        (INIT, SUBSCRIBE, SUBSCRIBE): (4409, "Subscriber for 1 already exists"),
        ('{"type":"connection_init","payload":{"authorization":"Bearer x"}}',): (
            4403,
            "The access token is not valid.",
        ),
        ('{"type":"connection_init","payload":{"X-Workspace-Id":"x"}}',): (
            4403,
            "This is not the id of a workspace.",
        ),
    }.items():
        async with raw(key) as connection:
            for message in messages:
                await connection.send(message)
            assert await closed(connection) == expected, messages
    for protocols in (["graphql-ws"], ["mqtt", "graphql-ws"]):
        async with raw(key, *map(Subprotocol, protocols)) as connection:
            assert await closed(connection) == (4406, "Subprotocol not acceptable")
    async with raw(key, Subprotocol("graphql-ws"), PROTOCOL) as connection:
        assert connection.subprotocol == PROTOCOL
    anonymous = Caller(tenant.server, "")
    async with websockets.connect(anonymous.served.ws_url, subprotocols=[PROTOCOL]) as connection:
        await connection.send(INIT)
        assert await closed(connection) == (4403, "Authentication is required.")
    await anonymous.close()


async def test_a_connection_without_connection_init_is_closed(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    # The server runs in this process.
    monkeypatch.setattr(websocket, "INIT_TIMEOUT_SECONDS", 2.0)
    key, started = await tenant.key(), time.monotonic()
    async with raw(key) as connection:
        await connection.send('{"type":"ping"}')
        assert await received(connection) == {"type": "pong"}
        assert await closed(connection) == (4408, "Connection initialisation timeout")
    assert time.monotonic() - started > 1.8


async def test_pings_are_answered_with_their_payload(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_SECONDS", 1.0)
    async with raw(await tenant.key()) as connection:
        payloads: list[dict[str, Any]] = [{}, {"payload": {"a": [1, None]}}, {"payload": {}}]
        for payload in payloads:
            await connection.send(json.dumps({"type": "ping", **payload}))
            assert await received(connection) == {"type": "pong", **payload}
        # A pong without a ping is a sign of life.
        await connection.send('{"type":"pong","payload":{"a":1}}')
        await connection.send(INIT)
        assert await received(connection) == {"type": "connection_ack"}
        # The server sends pings as well.
        assert await received(connection) == {"type": "ping"}


async def test_an_error_ends_only_its_operation(tenant: Tenant) -> None:
    key = await tenant.key()
    async with key.socket() as socket:
        name = await socket.start_live(EVENTS)
        for query in (
            "{",
            "{ nothing }",
            "subscription { nothing }",
            "fragment F on Note { id }",
        ):
            messages = [payload async for payload in socket.subscribe(query)]
            assert [list(message) for message in messages] == [["errors"]], query
            assert messages[0]["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT", query
        answer = [payload async for payload in socket.subscribe("{ notes { totalCount } }")]
        assert answer == [{"data": {"notes": {"totalCount": 0}}}]
        failed = [payload async for payload in socket.subscribe('mutation { deleteNote(id: "x") }')]
        assert [list(message) for message in failed] == [["data", "errors"]]
        await key.data(CREATE, t="still there")
        assert (await socket.next(name))["payload"]["data"]["workspaceEvents"]["note"] == {"title": "still there"}


async def test_an_error_that_ends_a_stream_ends_no_other(tenant: Tenant) -> None:
    person, writer = await tenant.user(), await tenant.key()
    note = (await writer.data(CREATE, t="theirs"))["createNote"]["id"]
    async with person.socket() as socket:
        stays = await socket.start(EVENTS)
        name = await socket.start_live("subscription($n: ID!) { noteEvents(noteId: $n) { type } }", n=note)
        private = "mutation($n: ID!) { updateNote(id: $n, input: {visibility: PRIVATE}) { id } }"
        await writer.data(private, n=note)
        while (message := await socket.next(name))["type"] == "next":
            # The worker has indexed the note meanwhile.
            assert message["payload"] == {"data": {"noteEvents": {"type": "NOTE_INDEXED"}}}
        [error] = message["payload"]
        assert (message["type"], error["message"]) == ("error", "You do not have access to this note.")
        assert error["extensions"].pop("requestId")
        assert error["extensions"] == {"code": "FORBIDDEN", "status": 403}
        await writer.data(CREATE, t="ours")
        events = [await socket.next(stays)]
        while events[-1]["payload"]["data"]["workspaceEvents"]["note"] != {"title": "ours"}:
            events.append(await socket.next(stays))


async def test_completed_ids_are_free_again(tenant: Tenant) -> None:
    key = await tenant.key()
    async with raw(key) as connection:
        await connection.send(INIT)
        await received(connection)
        for _ in range(3):
            await connection.send(SUBSCRIBE)
            await connection.send('{"id":"1","type":"complete"}')
            await connection.send('{"id":"unknown","type":"complete"}')
        operation = {"id": "1", "type": "subscribe", "payload": {"query": "{ notes { totalCount } }"}}
        for _ in range(2):
            await connection.send(json.dumps(operation))
            data = {"data": {"notes": {"totalCount": 0}}}
            assert await received(connection) == {"id": "1", "type": "next", "payload": data}
            assert await received(connection) == {"id": "1", "type": "complete"}
        await connection.send('{"id":"1","type":"complete"}')
        await connection.send('{"type":"ping"}')
        assert await received(connection) == {"type": "pong"}


async def test_each_event_has_the_data_of_its_moment(tenant: Tenant) -> None:
    key = await tenant.key()
    async with key.socket() as socket:
        name = await socket.start_live("subscription { workspaceEvents(types: [NOTE_UPDATED]) { note { title } } }")
        note = (await key.data(CREATE, t="0"))["createNote"]["id"]
        for number in range(1, 4):
            await key.data(UPDATE, n=note, t=str(number))
            message = await socket.next(name)
            assert message["payload"]["data"]["workspaceEvents"]["note"] == {"title": str(number)}


async def test_operations_of_one_connection_are_limited(tenant: Tenant) -> None:
    async with (await tenant.key()).socket() as socket:
        names = [await socket.start(EVENTS) for _ in range(101)]
        refused = await socket.next(names[-1])
        assert refused["type"] == "error"
        [error] = refused["payload"]
        assert (error["extensions"]["code"], error["message"]) == (
            "RATE_LIMITED",
            "100 operations run on this connection, which is the limit.",
        )
        await socket.connection.send(json.dumps({"id": names[0], "type": "complete"}))
        assert [payload async for payload in socket.subscribe("{ notes { totalCount } }")]


async def room_for_a_connection(caller: Caller) -> None:
    """Returns once the server has noticed that a connection was closed, and accepts another."""
    async with asyncio.timeout(30):
        while True:
            async with raw(caller) as connection:
                await connection.send(INIT)
                with suppress(websockets.ConnectionClosed):
                    assert await received(connection) == {"type": "connection_ack"}
                    return


@pytest.fixture(scope="module")
async def small(services: Services, database: Any) -> AsyncIterator[Tenant]:
    """A server that lets each caller have two connections."""
    with running_server(**services.settings, connections_per_caller="2") as served:
        yield await make_tenant(served, database)


async def test_connections_of_one_caller_are_limited(small: Tenant) -> None:
    key, other = await small.key(), await small.key()
    async with key.socket(), key.socket() as socket:
        async with raw(key) as connection:
            await connection.send(INIT)
            assert await closed(connection) == (
                4429,
                "You have 2 connections open with this server, which is the limit. Close one first.",
            )
        async with other.socket():
            pass
        await socket.connection.close()
        await room_for_a_connection(key)
    for caller in (key, other):
        await caller.close()


async def test_a_caller_at_the_connection_limit_sends_no_message(small: Tenant) -> None:
    """Refused before it is sent: otherwise a reply would be paid for that nobody reads."""
    key = await small.key()
    note = (await key.data(CREATE, t="Talked about"))["createNote"]["id"]
    created = await key.data("mutation($n: ID!) { createConversation(input: {noteId: $n}) { id } }", n=note)
    talk = created["createConversation"]["id"]
    ask = 'subscription($c: ID!) { ask(conversationId: $c, input: {message: "Unheard"}) { cursor } }'
    async with key.socket(), key.socket():
        for media in ("text/event-stream", 'multipart/mixed;subscriptionSpec="1.0"'):
            body = {"query": ask, "variables": {"c": talk}}
            response = await key.http.post("/graphql", json=body, headers={"Accept": media})
            assert response.status_code == 429, response.text
            assert response.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    query = "query($c: ID!) { conversation(id: $c) { messages { totalCount } } }"
    assert await key.data(query, c=talk) == {"conversation": {"messages": {"totalCount": 0}}}
    await key.close()


def test_the_connection_that_has_been_silent_the_longest_makes_room() -> None:
    connections, ended = Connections(), list[int]()
    with ExitStack() as unauthenticated:
        authenticates = [
            unauthenticated.enter_context(connections.unauthenticated(partial(ended.append, number)))
            for number in range(MAX_UNAUTHENTICATED_SOCKETS)
        ]
        assert ended == []
        authenticates[0]()
        with connections.unauthenticated(partial(ended.append, -1)):
            # One that has begun to authenticate is not evicted.
            assert ended == [1]
        with connections.unauthenticated(partial(ended.append, -1)):
            assert ended == [1]
        for authenticate in authenticates[2:]:
            authenticate()
        # Beginning to authenticate after the eviction makes no room.
        authenticates[1]()
        with connections.unauthenticated(partial(ended.append, -1)) as last:
            last()
            with pytest.raises(Problem) as refused, connections.unauthenticated(partial(ended.append, -1)):
                pass
        assert (refused.value.code, ended) == (ErrorCode.UNAVAILABLE, [1])
    with connections.unauthenticated(partial(ended.append, -1)):
        assert ended == [1]


async def test_a_silent_connection_gets_a_reason_when_it_makes_room() -> None:
    connections, closes, accepted = Connections(), list[Any](), asyncio.Event()

    async def receive() -> Any:
        if accepted.is_set():
            await asyncio.sleep(30)
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        accepted.set() if message["type"] == "websocket.accept" else closes.append(message)

    state = {"context": Context.__new__(Context), "connections": connections}
    scope = {"type": "websocket", "headers": [], "subprotocols": [PROTOCOL], "state": state}
    server_process = asyncio.create_task(SocketTransport(Options())(scope, receive, send))
    await accepted.wait()
    await asyncio.sleep(0)
    with ExitStack() as unauthenticated:
        for _ in range(MAX_UNAUTHENTICATED_SOCKETS):
            unauthenticated.enter_context(connections.unauthenticated(lambda: None))
        async with asyncio.timeout(30):
            await server_process
    text = "Too many connections have not authenticated yet. Try again later."
    assert closes == [{"type": "websocket.close", "code": 1013, "reason": text}]


async def test_a_token_ends_while_the_connection_is_open(tenant: Tenant) -> None:
    user = await tenant.user()
    assert user.user_id is not None
    short = Caller(tenant.server, token(user.user_id, 8 - LEEWAY_SECONDS))
    tenant.callers.append(short)
    started = time.time()
    async with short.socket() as socket:
        name = await socket.start(EVENTS)
        assert (await socket.next(name)) == {"type": "closed"}
        assert socket.connection.close_code == 4403
        assert socket.connection.close_reason == TOKEN_EXPIRED
    assert 2 < time.time() - started < 30


async def test_a_connection_that_ends_takes_its_operations_with_it(tenant: Tenant, database: Any) -> None:
    """A mutation that was sent is either done or not; the server goes on."""
    key = await tenant.key()
    for number in range(5):
        async with raw(key) as connection:
            await connection.send(INIT)
            payload = {"query": CREATE, "variables": {"t": str(uuid.uuid4())}}
            await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            await asyncio.sleep(number / 100)
            connection.transport.abort()
    async with key.socket() as socket:
        [payload] = [answer async for answer in socket.subscribe("{ notes { totalCount } }")]
        assert payload.keys() == {"data"}


async def test_a_server_that_stops_closes_with_the_code_for_a_restart(services: Services, database: Any) -> None:
    with running_server(**services.settings) as served:
        key = await (await make_tenant(served, database)).key()
        async with key.socket() as socket:
            name = await socket.start_live(EVENTS)
            await asyncio.to_thread(served.stop)
            assert (await socket.next(name)) == {"type": "closed"}
            assert socket.connection.close_code == 1012
        await key.close()
