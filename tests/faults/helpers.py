"""Asking, following with interruptions, and a look at processes."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil  # type: ignore[import-untyped] # its stubs are no dependency of ours

from tests.conftest import Tenant
from tests.support.clients import Caller, Socket
from tests.support.servers import RunningServer, ServerProcess

CREATE = "mutation($t: String!) { createNote(input: {title: $t}) { id } }"
CONVERSE = "mutation($note: ID!) { createConversation(input: {noteId: $note}) { id } }"
SEND = """mutation($c: ID!, $m: String!) {
  sendMessage(conversationId: $c, input: {message: $m, noteId: null}) { reply { id state } }
}"""
REPLY = """subscription($id: ID!, $after: Cursor) { reply(messageId: $id, after: $after) {
  __typename cursor messageId
  ... on ReplyDelta { content }
  ... on ReplyDone { message { content state } }
  ... on ReplyFailed { reason message { content state } }
} }"""
MESSAGES = "query($c: ID!) { conversation(id: $c) { messages(last: 5) { nodes { id role state content } } } }"
TERMINAL = {"ReplyDone", "ReplyFailed"}

Event = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A reply that has been started."""

    caller: Caller
    note: str
    conversation: str
    reply: str

    def at(self, tenant: Tenant, server: RunningServer) -> "Asked":
        """The same, seen by the same person through another server."""
        return Asked(elsewhere(tenant, self.caller, server), self.note, self.conversation, self.reply)

    async def stored(self) -> Event:
        nodes = (await self.caller.data(MESSAGES, c=self.conversation))["conversation"]["messages"]["nodes"]
        [message] = [node for node in nodes if node["id"] == self.reply]
        return dict(message)


def elsewhere(tenant: Tenant, caller: Caller, server: RunningServer) -> Caller:
    other = Caller(server, caller.credential)
    tenant.callers.append(other)
    return other


async def conversation(caller: Caller) -> tuple[str, str]:
    """A new note and a conversation about it."""
    note: str = (await caller.data(CREATE, t="Faults"))["createNote"]["id"]
    talk: str = (await caller.data(CONVERSE, note=note))["createConversation"]["id"]
    return note, talk


async def ask(caller: Caller, message: str) -> Asked:
    note, talk = await conversation(caller)
    sent = (await caller.data(SEND, c=talk, m=message))["sendMessage"]["reply"]
    assert sent["state"] == "STREAMING"
    return Asked(caller, note, talk, sent["id"])


async def follow(asked: Asked, after: str | None = None, hears: asyncio.Event | None = None) -> list[Event]:
    """All events of the reply, until the server completes the operation. `hears` is set with the first of them."""
    events: list[Event] = []
    async with asked.caller.socket() as socket:
        async for payload in socket.subscribe(REPLY, id=asked.reply, after=after):
            assert "data" in payload, payload
            events.append(payload["data"]["reply"])
            if hears is not None:
                hears.set()
    return events


async def taken(socket: Socket, name: str, count: int) -> list[Event]:
    """The next `count` payloads of an operation."""
    found = []
    for _ in range(count):
        message = await socket.next(name)
        assert message["type"] == "next", message
        found.append(message["payload"]["data"])
    return found


async def cut(asked: Asked, count: int, after: str | None = None) -> list[Event]:
    """The first `count` events; then the connection is gone without a word."""
    async with asked.caller.socket() as socket:
        name = await socket.start(REPLY, id=asked.reply, after=after)
        events = [data["reply"] for data in await taken(socket, name, count)]
        socket.connection.transport.abort()
    return events


async def listen(
    asked: Asked, after: str = "0", count: int | None = None, hears: asyncio.Event | None = None
) -> list[tuple[str, Event]]:
    """The events by SSE: all, or the first `count`, after which the connection is gone. `hears` as in `follow`."""
    path = f"/api/v1/ai/conversations/{asked.conversation}/stream"
    request = {"params": {"message_id": asked.reply}, "headers": {"Last-Event-ID": after}}
    heard: list[tuple[str, Event]] = []
    async with asked.caller.sse("GET", path, **request) as events:
        if count == 0:
            return heard
        async for event in events:
            if not event.data:
                continue  # A ping, which this client takes for an event once it has seen an id.
            heard.append((event.id, json.loads(event.data)))
            if hears is not None:
                hears.set()
            if len(heard) == count:
                break
    return heard


def one_ending(events: list[Event]) -> Event:
    """The terminal event: it is the last, and the only one."""
    assert [event["__typename"] in TERMINAL for event in events] == [*[False] * (len(events) - 1), True], events
    return events[-1]


def text(events: list[Event]) -> str:
    return "".join(event.get("content", "") for event in events if event["__typename"] == "ReplyDelta")


def tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def gone(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that are still there after `seconds`; a zombie that nobody has reaped yet does not count."""
    deadline = time.monotonic() + seconds
    while left := [process for process in processes if alive(process)]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.02)
    return []


def alive(process: psutil.Process) -> bool:
    try:
        # The same process, not only the same number.
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def parts(served: ServerProcess, command: str) -> list[psutil.Process]:
    """The server's processes that run that command: web, worker."""
    children = psutil.Process(served.process.pid).children()
    return [child for child in children if alive(child) and runs_command(child, command)]


def runs_command(process: psutil.Process, command: str) -> bool:
    """A fork of the supervisor has a name; where there are no forks, its command line says what it runs."""
    try:
        return bool(process.name() == f"caret-{command}" or command in process.cmdline()[1:4])
    except psutil.NoSuchProcess:
        return False


async def until(true: Callable[[], Any], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


class Followers:
    """Everybody who can follow a reply: over WebSocket and SSE, in each of several places."""

    def __init__(self, *places: Asked) -> None:
        self._hearing: list[asyncio.Event] = []
        self._sockets = [asyncio.create_task(follow(at, hears=self._heard())) for at in places]
        self._streams = [asyncio.create_task(listen(at, hears=self._heard())) for at in places]

    def _heard(self) -> asyncio.Event:
        self._hearing.append(asyncio.Event())
        return self._hearing[-1]

    async def hear(self) -> None:
        """Waits until each has heard the first event."""
        await asyncio.gather(*(hears.wait() for hears in self._hearing))

    async def ending(self) -> tuple[str, dict[str, Any]]:
        """What all of them have heard: the text, and the terminal event as a subscription shows it."""
        told, *others = await asyncio.gather(*self._sockets)
        assert all(other == told for other in others)
        end = one_ending(told)
        for heard in await asyncio.gather(*self._streams):
            *deltas, (_, last) = heard
            assert {event["type"] for _, event in deltas} <= {"delta"}
            assert "".join(event["content"] for _, event in deltas) == text(told)
            assert (last["type"], last["content"]) == (
                ("done", text(told)) if end["__typename"] == "ReplyDone" else ("error", end["reason"])
            )
        return text(told), end
