"""Subscriptions over HTTP at the running server: server-sent events in both modes, and multipart."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest

from caret.adapters.access_tokens import LEEWAY_SECONDS
from tests.conftest import Tenant, token
from tests.support.clients import NOBODY, Caller

SSE = {"Accept": "text/event-stream"}
MULTIPART = {"Accept": 'multipart/mixed;subscriptionSpec="1.0"'}
# Of created notes only: the events of their indexing come between them whenever the machine has time for it.
EVENTS = "subscription($after:Cursor){workspaceEvents(types:[NOTE_CREATED],after:$after){cursor note{title}}}"
TITLES = "subscription($after:Cursor){workspaceEvents(types:[NOTE_CREATED],after:$after){note{title}}}"
MAKE = "mutation($t:String!){createNote(input:{title:$t}){id}}"
TOKEN = "X-GraphQL-Event-Stream-Token"


def payload(title: str) -> dict[str, Any]:
    return {"data": {"workspaceEvents": {"note": {"title": title}}}}


@asynccontextmanager
async def streaming(
    caller: Caller, query: str, headers: dict[str, str] = SSE, end: bytes = b"\n\n", **variables: Any
) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[bytes]]]:
    body = {"query": query, "variables": variables}
    async with (
        asyncio.timeout(60),
        caller.http.stream("POST", "/graphql", json=body, headers=headers) as response,
        aclosing(blocks(response, end)) as events,
    ):
        yield response, events


async def blocks(response: httpx.Response, end: bytes) -> AsyncGenerator[bytes, None]:
    """What the client receives, split at each `end`."""
    buffer = b""
    async for chunk in response.aiter_raw():
        buffer += chunk
        while end in buffer:
            block, _, buffer = buffer.partition(end)
            yield block
    assert buffer == b""


def parsed(block: bytes) -> dict[str, Any]:
    """The fields of an event, each a line with LF at its end; its data parsed."""
    assert b"\r" not in block
    fields: dict[str, Any] = dict(line.split(": ", 1) for line in block.decode().split("\n"))
    return {**fields, "data": json.loads(fields["data"]) if fields["data"] else None}


async def next_event(events: AsyncIterator[bytes]) -> dict[str, Any]:
    """The next event, after any comments: on a slow machine there is time for the server to send some."""
    while (block := await anext(events)) == b":":
        pass
    return parsed(block)


async def test_events_with_their_cursors_and_on_from_one(tenant: Tenant) -> None:
    key = await tenant.key()
    async with streaming(key, EVENTS) as (response, events):
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert await anext(events) == b":"
        for title in ("one", "two", "three"):
            await key.data(MAKE, t=title)
        first, second = [await next_event(events) for _ in range(2)]
    event = first["data"]["data"]["workspaceEvents"]
    assert first == {"event": "next", "id": event["cursor"], "data": {"data": {"workspaceEvents": event}}}
    assert [event["note"]["title"] for event in (event, second["data"]["data"]["workspaceEvents"])] == ["one", "two"]
    # The event has its cursor as its id even if the operation does not select it. The header overrides the argument.
    async with streaming(key, TITLES, {**SSE, "Last-Event-ID": second["id"]}, after=first["id"]) as (_, events):
        assert await anext(events) == b":"
        [third] = [await next_event(events)]
    assert (third["event"], third["data"]) == ("next", payload("three"))
    assert third["id"] not in (first["id"], second["id"])


async def test_a_stream_by_get(tenant: Tenant) -> None:
    key = await tenant.key()
    where: Any = {"params": {"query": TITLES}, "headers": SSE}
    async with (
        asyncio.timeout(60),
        key.http.stream("GET", "/graphql", **where) as response,
        aclosing(blocks(response, b"\n\n")) as events,
    ):
        assert await anext(events) == b":"
        await key.data(MAKE, t="by get")
        assert (await next_event(events))["data"] == payload("by get")


async def test_queries_and_mutations_in_events(tenant: Tenant) -> None:
    key = await tenant.key()
    response = await key.http.post("/graphql", json={"query": "{__typename}"}, headers=SSE)
    assert response.content == b'event: next\ndata: {"data":{"__typename":"Query"}}\n\nevent: complete\ndata: \n\n'
    response = await key.http.post("/graphql", json={"query": MAKE, "variables": {"t": "x"}}, headers=SSE)
    assert response.text.startswith('event: next\ndata: {"data":{"createNote":{"id":')
    response = await key.http.post("/graphql", json={"query": "{__typename}"}, headers=MULTIPART)
    assert response.content == (
        b"\r\n--graphql\r\nContent-Type: application/json; charset=utf-8\r\n\r\n"
        b'{"payload":{"data":{"__typename":"Query"}}}\r\n--graphql--\r\n'
    )


NO_SUCH_NOTE = f'subscription{{noteEvents(noteId:"{NOBODY}"){{id}}}}'
REFUSED = {
    "validation": ("subscription{nope}", {}, "BAD_USER_INPUT"),
    "syntax": ("subscription{", {}, "BAD_USER_INPUT"),
    "no such note": (NO_SUCH_NOTE, {}, "NOT_FOUND"),
    "a cursor of something else": (EVENTS, {"after": "x"}, "BAD_USER_INPUT"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_subscription_has_its_error_where_the_client_reads_it(tenant: Tenant, name: str) -> None:
    """The error comes within the stream, as the protocols require, unless the client also accepts a plain response."""
    query, variables, code = REFUSED[name]
    key, body = await tenant.key(), {"query": query, "variables": variables}
    response = await key.http.post("/graphql", json=body, headers=SSE)
    first, end, rest = response.content.split(b"\n\n")
    assert (response.status_code, end, rest) == (200, b"event: complete\ndata: ", b"")
    [error] = parsed(first)["data"]["errors"]
    assert error["extensions"]["code"] == code
    response = await key.http.post("/graphql", json=body, headers=MULTIPART)
    assert response.text.count(f'"code":"{code}"') == 1
    assert response.content.endswith(b"\r\n--graphql--\r\n")
    both = {"Accept": "text/event-stream, application/graphql-response+json"}
    response = await key.http.post("/graphql", json=body, headers=both)
    assert (response.status_code, response.headers["content-type"]) == (
        error["extensions"]["status"],
        "application/graphql-response+json; charset=utf-8",
    )
    assert [error["extensions"]["code"] for error in response.json()["errors"]] == [code]


async def test_a_subscription_that_sends_a_message_can_not_be_resumed(tenant: Tenant) -> None:
    key = await tenant.key()
    query = f'subscription{{ask(conversationId:"{NOBODY}",input:{{message:"x"}}){{cursor}}}}'
    accepted = {"Accept": "text/event-stream, application/graphql-response+json", "Last-Event-ID": "x"}
    response = await key.http.post("/graphql", json={"query": query}, headers=accepted)
    [error] = response.json()["errors"]
    assert (response.status_code, error["extensions"]["field"]) == (400, "Last-Event-ID")


async def test_multipart(tenant: Tenant) -> None:
    key = await tenant.key()
    async with streaming(key, TITLES, MULTIPART, b"\r\n--graphql") as (response, parts):
        kind = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"'
        assert (response.status_code, response.headers["content-type"]) == (200, kind)
        assert await anext(parts) == b""
        assert await anext(parts) == b"\r\nContent-Type: application/json; charset=utf-8\r\n\r\n{}"
        for title in ("one", "two"):
            await key.data(MAKE, t=title)
            while (part := await anext(parts)).endswith(b"{}"):
                pass
            assert json.loads(part.partition(b"\r\n\r\n")[2]) == {"payload": payload(title)}


async def test_a_token_that_expires_ends_its_streams(tenant: Tenant) -> None:
    user = await tenant.user()
    assert user.user_id
    user.http.headers["authorization"] = f"Bearer {token(user.user_id, lifetime=8 - LEEWAY_SECONDS)}"
    async with streaming(user, TITLES) as (_, events):
        assert await anext(events) == b":"
        [error] = (await next_event(events))["data"]["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
        assert [block async for block in events] == [b"event: complete\ndata: "]


async def begin(caller: Caller) -> str:
    response = await caller.http.put("/graphql")
    assert (response.status_code, response.headers["content-type"]) == (201, "text/plain; charset=utf-8")
    return response.text


async def operate(caller: Caller, ticket: str, ident: Any, query: str, **more: Any) -> httpx.Response:
    body = {"query": query, "extensions": {"operationId": ident}, **more}
    return await caller.http.post("/graphql", json=body, headers={TOKEN: ticket})


@asynccontextmanager
async def claimed(caller: Caller, ticket: str) -> AsyncIterator[AsyncIterator[bytes]]:
    where: Any = {"params": {"token": ticket}, "headers": SSE}
    async with asyncio.timeout(60), caller.http.stream("GET", "/graphql", **where) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        async with aclosing(blocks(response, b"\n\n")) as events:
            assert await anext(events) == b":"
            yield events


async def test_many_operations_on_one_stream(tenant: Tenant) -> None:
    key = await tenant.key()
    ticket = await begin(key)
    # Operations that are sent before the stream is open wait for it.
    assert (await operate(key, ticket, "a", "{__typename}")).status_code == 202
    async with claimed(key, ticket) as events:
        assert await next_event(events) == {
            "event": "next",
            "data": {"id": "a", "payload": {"data": {"__typename": "Query"}}},
        }
        assert await next_event(events) == {"event": "complete", "data": {"id": "a"}}
        for ident in ("s", "t"):
            response = await operate(key, ticket, ident, TITLES)
            assert (response.status_code, response.content) == (202, b"")
        await key.data(MAKE, t="one")
        both = [await next_event(events) for _ in "st"]
        assert sorted((event["data"]["id"], event["data"]["payload"]["data"]) for event in both) == [
            ("s", payload("one")["data"]),
            ("t", payload("one")["data"]),
        ]
        stopped = await key.http.delete("/graphql", params={"operationId": "s"}, headers={TOKEN: ticket})
        assert (stopped.status_code, stopped.content) == (200, b"")
        await key.data(MAKE, t="two")
        event = await next_event(events)
        assert event["data"] == {"id": "t", "payload": payload("two")}
        # Its own id goes on, from where the stopped one was.
        body = {"query": TITLES, "extensions": {"operationId": "s"}}
        again = {TOKEN: ticket, "Last-Event-ID": both[0]["id"]}
        assert (await key.http.post("/graphql", json=body, headers=again)).status_code == 202
        assert (await next_event(events))["data"] == {"id": "s", "payload": payload("two")}
        # There is one stream for one reservation, and one operation for one id.
        assert (await key.http.get("/graphql", params={"token": ticket}, headers=SSE)).status_code == 409
        assert (await operate(key, ticket, "s", TITLES)).status_code == 409
    async with asyncio.timeout(30):
        while (await operate(key, ticket, "b", "{__typename}")).status_code != 404:
            await asyncio.sleep(0.05)


async def test_an_operation_that_comes_when_its_stream_has_ended(tenant: Tenant) -> None:
    """The first half of its request came before: an operation that could not be stopped is not started."""
    key = await tenant.key()
    ticket, ended = await begin(key), asyncio.Event()
    body = json.dumps({"query": TITLES, "extensions": {"operationId": "a"}}).encode()

    async def halves() -> AsyncGenerator[bytes, None]:
        yield body[:10]
        await ended.wait()
        yield body[10:]

    headers = {TOKEN: ticket, "Content-Type": "application/json"}
    async with claimed(key, ticket):
        sending = asyncio.create_task(key.http.post("/graphql", content=halves(), headers=headers))
        await asyncio.sleep(0.5)
    async with asyncio.timeout(30):
        while (await operate(key, ticket, "b", "{__typename}")).status_code != 404:
            await asyncio.sleep(0.05)
    ended.set()
    assert (await sending).status_code == 404


async def test_an_event_that_is_too_large(tenant: Tenant) -> None:
    key = await tenant.key()
    note_id = (await key.data(MAKE, t="large"))["createNote"]["id"]
    fields = " ".join(f"a{number}:userWrittenNote" for number in range(9))
    query = f"subscription{{workspaceEvents(types:[NOTE_UPDATED]){{note{{{fields}}}}}}}"
    async with streaming(key, query) as (_, events):
        assert await anext(events) == b":"
        change = "mutation($n:ID!,$t:String!){updateNote(id:$n,input:{userWrittenNote:$t}){id}}"
        await key.data(change, n=note_id, t="x" * 500_000)
        [error] = (await next_event(events))["data"]["errors"]
        assert (error["extensions"]["code"], error["message"]) == (
            "PAYLOAD_TOO_LARGE",
            "The result for an event is larger than 4 MiB: select less of it.",
        )


async def test_what_a_stream_refuses(tenant: Tenant, stranger: Tenant) -> None:
    key, other, outsider = await tenant.key(), await tenant.key(), await stranger.key()
    ticket = await begin(key)
    for caller, with_ticket in ((other, ticket), (outsider, ticket), (key, "nothing")):
        assert (await operate(caller, with_ticket, "a", "{__typename}")).status_code == 404
        where: Any = {"params": {"token": with_ticket}, "headers": SSE}
        assert (await caller.http.get("/graphql", **where)).status_code == 404
        assert (await caller.http.delete("/graphql", params={"token": with_ticket})).status_code == 404
    anonymous = tenant._caller("", None)
    assert (await anonymous.http.put("/graphql")).status_code == 401
    for ident in (None, "", 5, "x" * 1001):
        response = await operate(key, ticket, ident, "{__typename}")
        [error] = response.json()["errors"]
        assert (response.status_code, error["extensions"]["field"]) == (400, "extensions.operationId")
    for query, status in (("{nope}", 400), ("subscription{nope}", 400), (NO_SUCH_NOTE, 404), ("{", 400)):
        assert (await operate(key, ticket, "a", query)).status_code == status
    assert (await operate(key, ticket, "x" * 1000, "{__typename}")).status_code == 202


async def test_reservations_are_bounded(tenant: Tenant) -> None:
    key = await tenant.key()
    answers = [await key.http.put("/graphql") for _ in range(21)]
    assert [answer.status_code for answer in answers] == [201] * 20 + [429]
    ticket = answers[0].text
    # The last one has no room: one hundred run.
    answers = await asyncio.gather(*(operate(key, ticket, f"{n}", TITLES) for n in range(100)))
    assert {answer.status_code for answer in answers} == {202}
    assert (await operate(key, ticket, "more", TITLES)).status_code == 429
    assert (await (await tenant.key()).http.put("/graphql")).status_code == 201


async def test_streams_are_counted_and_closed_when_their_client_leaves(tenant: Tenant) -> None:
    """One caller may have 100 connections; those of clients that have left count no more."""
    key = await tenant.key()
    key.http = httpx.AsyncClient(
        base_url=tenant.server.url, headers=key.http.headers, timeout=30, limits=httpx.Limits(max_connections=None)
    )
    for _ in range(2):
        responses = await asyncio.gather(*(opened(key) for _ in range(100)))
        refused = await key.http.post("/graphql", json={"query": TITLES}, headers=SSE)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (429, "RATE_LIMITED")
        for response in responses:
            await response.aclose()


async def opened(key: Caller) -> httpx.Response:
    """A stream, once there is room for it: the server notices a moment later that other clients have left."""
    async with asyncio.timeout(60):
        while True:
            request = key.http.build_request("POST", "/graphql", json={"query": TITLES}, headers=SSE)
            response = await key.http.send(request, stream=True)
            if response.status_code == 200:
                return response
            await response.aclose()
            await asyncio.sleep(0.05)
