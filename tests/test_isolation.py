"""Another workspace can neither read, find, list, change, subscribe to nor infer anything: every field, every route
and every subscription is tried with the victim's ids, and must answer as it does for what never existed."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from graphql import build_client_schema, get_introspection_query
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.routing import Mount, Route

import rest_compat
from models import Role
from models.base import new_id
from rest_compat.family import Resource
from tests.conftest import House, Tenant, make_tenant
from tests.support.clients import Caller
from tests.support.house import Served
from tests.support.llm import Script
from tests.support.secrets import TABLES, Secrets, dump, singular
from tests.support.walk import EMAIL, PHRASE, Hole, Operation, Walk
from tests.test_main_job import ASK, CONVERSE, CREATE, indexed

PUBLIC = {"models", "defaultModel"}
# Stored, and shown by no field.
NEVER_SHOWN = {"notes.index_content", "messages.model_id", "messages.agent_type", "messages.error", "events.payload"}


@dataclass
class Victim:
    tenant: Tenant
    secrets: Secrets
    people: dict[str, Caller]
    own: dict[str, dict[str, str]]
    cursors: list[str]

    @property
    def ids(self) -> dict[str, list[str]]:
        return self.secrets.ids


async def things_of(caller: Caller, tenant: Tenant, title: str) -> dict[str, str]:
    """One of each thing that an operation may need an id of: a note, a conversation about it, its reply, a tag."""
    note = (await caller.data(CREATE, input={"title": title, "summary": title, "transcripts": [SEGMENT]}))["createNote"]
    await indexed(caller, note["id"])
    talk = (await caller.data(CONVERSE, note=note["id"]))["createConversation"]
    *_, done = await caller.subscribed(ASK, c=talk["id"], m=title)
    reply = done["data"]["ask"]["messageId"]
    tag = str(new_id())
    await sql(
        tenant.database,
        "INSERT INTO tags (id, workspace_id, name, color) VALUES (:tag, :workspace, :name, '#00aa00')",
        tag=tag,
        workspace=tenant.id,
        name=tag,
    )
    return {"note": note["id"], "conversation": talk["id"], "message": reply, "tag": tag, "model": "caret/extractive"}


SEGMENT = {"speaker": "A", "text": PHRASE, "startTimestamp": "00:00:00", "endTimestamp": "00:00:01"}


async def sql(database: AsyncEngine, statement: str, **values: Any) -> None:
    async with database.begin() as connection:
        await connection.execute(text(statement), values)


@pytest.fixture(scope="module")
async def victim(house: House, server: Served, database: AsyncEngine) -> AsyncIterator[Victim]:
    tenant = await make_tenant(server, database)
    secrets = Secrets(tenant.id)
    house.llm.on(PHRASE, Script(pieces=[secrets.secret("?")]))
    people = {"key": await tenant.key(), "user": await tenant.user(Role.ADMIN)}
    own = {name: await things_of(person, tenant, PHRASE) for name, person in people.items()}
    user = own["user"]
    await sql(database, "UPDATE notes SET visibility = 'private' WHERE id = :note", note=user["note"])
    place = {"workspace": tenant.id, "note": user["note"]}
    await sql(
        database,
        """INSERT INTO suggestions (id, workspace_id, conversation_id, note_id, message_id, status, suggested_text)
        VALUES (:id, :workspace, :talk, :note, :message, 'proposed', '')""",
        **place,
        id=new_id(),
        talk=user["conversation"],
        message=user["message"],
    )
    await sql(
        database,
        "INSERT INTO note_shares (id, workspace_id, note_id, user_id) VALUES (:id, :workspace, :note, :user)",
        **place,
        id=new_id(),
        user=people["user"].user_id,
    )
    for things in own.values():
        await sql(
            database,
            "INSERT INTO note_tags (note_id, tag_id, workspace_id) VALUES (:note, :tag, :workspace)",
            workspace=tenant.id,
            note=things["note"],
            tag=things["tag"],
        )
    async with database.begin() as connection:
        await secrets.plant(connection)
    yield Victim(tenant, secrets, people, own, await cursors_of(people["user"], user))
    house.llm.scripts.pop(PHRASE)
    for caller in tenant.callers:
        await caller.close()


async def cursors_of(caller: Caller, own: dict[str, str]) -> list[str]:
    """One of each kind of cursor that the server gives out."""
    page = (await caller.data("{ notes { pageInfo { endCursor } } }"))["notes"]["pageInfo"]["endCursor"]
    told = await caller.subscribed("subscription($m: ID!) { reply(messageId: $m) { cursor } }", m=own["message"])
    async with caller.socket() as socket:
        name = await socket.start("subscription { workspaceEvents { cursor } }")
        await asyncio.sleep(0.2)
        await caller.data(UPDATE, note=own["note"], input={"meetingApp": "x"})
        event = (await socket.next(name))["payload"]["data"]["workspaceEvents"]["cursor"]
    return [page, told[0]["data"]["reply"]["cursor"], event]


UPDATE = "mutation($note: ID!, $input: UpdateNoteInput!) { updateNote(id: $note, input: $input) { id } }"


@pytest.fixture(scope="module")
async def schema(server: Served) -> Walk:
    """The schema as the running server tells it."""
    nobody = Caller(server, "")
    asked = await nobody.graphql(get_introspection_query())
    await nobody.close()
    return Walk(build_client_schema(asked["data"]), frozenset(map(singular, TABLES)) | {"model"})


@dataclass
class Stranger:
    """Somebody of another workspace with things of their own, or nobody at all."""

    caller: Caller
    own: dict[str, str] = field(default_factory=dict)
    workspace_id: uuid.UUID | None = None


@pytest.fixture(scope="module")
async def strangers(victim: Victim, server: Served, database: AsyncEngine) -> AsyncIterator[dict[str, Stranger]]:
    tenant = await make_tenant(server, database)
    people = {"key": await tenant.key(), "user": await tenant.user(Role.ADMIN)}
    made = {
        name: Stranger(person, await things_of(person, tenant, "Ours"), tenant.id) for name, person in people.items()
    }
    nobody = Caller(server, "")
    yield made | {"nobody": Stranger(nobody, made["user"].own)}
    for caller in (nobody, *tenant.callers):
        await caller.close()


WHO = pytest.mark.parametrize("who", ["key", "user", "nobody"])
Ask = Callable[[dict[str, Any]], Awaitable[httpx.Response]]


@pytest.fixture
async def untouched(victim: Victim, strangers: dict[str, Stranger], database: AsyncEngine) -> AsyncIterator[None]:
    """Whatever the test tries, the victim's rows stay as they are, and the strangers' rows name nothing of theirs."""
    before = await dump(database, victim.tenant.id)
    yield
    assert await dump(database, victim.tenant.id) == before
    for other in (strangers["key"].workspace_id, strangers["user"].workspace_id):
        assert other is not None
        rows = str(await dump(database, other))
        assert not [ident for idents in victim.ids.values() for ident in idents if ident in rows]


def told(response: httpx.Response) -> tuple[Any, ...]:
    """All that an answer says, but for ids, moments and what differs from one request to the next."""
    body = re.sub(r'"requestId": ?"[^"]*"', "", response.text)
    body = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", body)
    body = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|\+00:00)", "<time>", body)
    headers = {name for name in response.headers if name not in {"date", "x-request-id", "content-length"}}
    return response.status_code, body, headers


async def tell_nothing(
    victim: Victim, name: str, ask: Callable[[str], Awaitable[httpx.Response]], kinds: list[str]
) -> None:
    """Asks for the victim's things of these kinds, and for one that never was: the answers must be the same."""
    never = told(await ask(str(new_id())))
    for kind in kinds:
        for ident in victim.ids[kind][:2]:
            answer = await ask(ident)
            assert not victim.secrets.found_in(answer.text), (name, kind, answer.text)
            assert told(answer) == never, (name, kind)


async def all_at_once(work: Iterator[Awaitable[None]] | list[Awaitable[None]], width: int = 8) -> None:
    gate = asyncio.Semaphore(width)

    async def one(job: Awaitable[None]) -> None:
        async with gate:
            await job

    async with asyncio.TaskGroup() as group:
        for job in work:
            group.create_task(one(job))


def attacks(operation: Operation, victim: Victim) -> Iterator[tuple[Hole, list[str]]]:
    """Each place for an id, with the kinds of victim's things to try there; what else is needed is the stranger's own.

    With something optional added only the kind that belongs there is tried.
    """
    for hole in operation.holes:
        if hole.kind in {"cursor", "foreign"}:
            continue
        new = operation.extra is None or hole.path.endswith(operation.extra)
        yield hole, list(victim.ids) if new else [kind for kind in (hole.kind,) if kind in victim.ids]


def filled(operation: Operation, own: dict[str, str], at: Hole | None = None, ident: str = "") -> dict[str, Any]:
    def fill(hole: Hole) -> str:
        if hole == at:
            return ident
        assert hole.kind in {*own, "foreign", "cursor"}, f"make a {hole.kind} in things_of for {operation.name}"
        return own.get(hole.kind, "x")

    return operation.filled(fill)


def answer_of(caller: Caller, operation: Operation, variables: dict[str, Any]) -> Awaitable[httpx.Response]:
    return caller.http.post("/graphql", json={"query": operation.text, "variables": variables})


async def test_the_owner_finds_every_secret(victim: Victim, schema: Walk) -> None:
    """The walk would see what it looks for: the same queries show the owner everything."""
    found: set[str] = set()
    for name, person in victim.people.items():
        for operation in schema.operations("query"):
            own = {**{kind: ids[0] for kind, ids in victim.ids.items()}, **victim.own[name]}
            answer = await answer_of(person, operation, filled(operation, own, *cursor_at(operation, victim)))
            found |= victim.secrets.found_in(answer.text)
    missed = victim.secrets.planted - found - NEVER_SHOWN
    # What has no type of its own yet is shown by nothing.
    assert not {place for place in missed if not place.startswith("suggestions.")}
    assert not schema.unvisited(o for root in ("query", "mutation", "subscription") for o in schema.operations(root))


def cursor_at(operation: Operation, victim: Victim) -> tuple[Hole, str] | tuple[()]:
    holes = [hole for hole in operation.holes if hole.kind == "cursor"]
    return (holes[0], victim.cursors[0]) if holes else ()


@WHO
@pytest.mark.parametrize("root", ["query", "mutation"])
@pytest.mark.usefixtures("untouched")
async def test_no_field_tells(
    root: str, who: str, victim: Victim, strangers: dict[str, Stranger], schema: Walk
) -> None:
    stranger = strangers[who]
    await all_at_once(
        tell_nothing(victim, f"{operation.name} at {hole.path}", asking(stranger, operation, hole), kinds)
        for operation in schema.operations(root)
        for hole, kinds in attacks(operation, victim)
    )
    await all_at_once(plain(victim, who, stranger, operation) for operation in schema.operations(root))


def asking(stranger: Stranger, operation: Operation, hole: Hole) -> Callable[[str], Awaitable[httpx.Response]]:
    return lambda ident: answer_of(stranger.caller, operation, filled(operation, stranger.own, hole, ident))


async def plain(victim: Victim, who: str, stranger: Stranger, operation: Operation) -> None:
    """What needs no id, and cursors that the victim got."""
    holes = [hole for hole in operation.holes if hole.kind != "foreign"]
    cursors = [hole for hole in holes if hole.kind == "cursor"]
    if len(holes) > len(cursors):
        return
    for ident in victim.cursors if cursors else [""]:
        variables = filled(operation, stranger.own, cursors[0] if cursors else None, ident)
        answer = await answer_of(stranger.caller, operation, variables)
        assert not victim.secrets.found_in(answer.text), (operation.name, answer.text)
        assert not any(ident in answer.text for ids in victim.ids.values() for ident in ids), operation.name
        if who == "nobody" and operation.field not in PUBLIC:
            assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["UNAUTHENTICATED"]


def an(kind: str) -> Hole:
    return Hole(kind, kind)


# What each route that writes is sent: one that is not here fails the test.
BODIES: dict[str, list[Any]] = {
    "POST /v1/notes": [{"title": PHRASE}, {"title": PHRASE, "tagIds": [an("tag")]}],
    "PATCH /v1/notes/{id}": [{"title": PHRASE}, {"tagIds": [an("tag")]}, {"visibility": "private"}],
    "POST /api/v1/ai/conversations": [{"document_id": an("note")}],
    "PATCH /api/v1/ai/conversations/{id}": [{"title": PHRASE}],
    "POST /api/v1/ai/conversations/{id}/touch": [None],
    "POST /api/v1/ai/conversations/{id}/stream": [{"message": PHRASE}, {"message": PHRASE, "document_id": an("note")}],
    "POST /api/v1/ai/embeddings/index": [{"document_id": an("note"), "content": PHRASE}],
    "POST /api/v1/ai/embeddings/search": [{"document_id": an("note"), "query": PHRASE}],
}
QUERY: dict[str, Any] = {"search": PHRASE, "participantEmail": EMAIL, "createdBy": an("user"), "tagIds": an("tag")}
QUERY |= {f"{kind}_id": an(kind) for kind in ("conversation", "message")} | {"document_id": an("note")}
OPEN = "GET /api/v1/ai/models"


def requests() -> Iterator[Operation]:
    """Every method of every route with all that it may be sent, open for ids as the GraphQL operations are."""
    for mount in rest_compat.routes():
        assert isinstance(mount, Mount)
        for route in mount.routes:
            assert isinstance(route, Route)
            if isinstance(route.endpoint, Resource) and route.endpoint.endpoints is not None:
                for method in route.endpoint.endpoints:
                    yield from requests_of(method, mount.path + route.path)


def requests_of(method: str, path: str) -> Iterator[Operation]:
    name = f"{method} {path}"
    assert method in {"GET", "DELETE"} or name in BODIES, f"add what {name} is to be sent"
    owner = re.search(r"(\w+)/\{id\}", path)
    ids = {"id": Hole("id", {"embeddings": "note"}.get(owner[1], singular(owner[1])))} if owner else {}
    for body in BODIES.get(name, [None]):
        given = {"path": ids, "json": body}
        yield Operation(method, path, name, given, None)
        yield Operation(method, path, name, {**given, "headers": {"If-Match": '"99"'}}, "If-Match")
        yield Operation(method, path, name, {**given, "headers": {"X-Workspace-Id": an("workspace")}}, "workspace")
    if method == "GET":
        yield Operation("HEAD", path, name, {"path": ids}, None)
        for key, value in QUERY.items():
            given = {"path": ids, "params": {key: value}, "headers": {"Last-Event-ID": "1"}}
            yield Operation(method, path, name, given, value.path if isinstance(value, Hole) else key)


def request_of(caller: Caller, operation: Operation, variables: dict[str, Any]) -> Awaitable[httpx.Response]:
    path = operation.field.format(**variables.pop("path"))
    return caller.http.request(operation.root, path, **variables)


@WHO
@pytest.mark.usefixtures("untouched")
async def test_no_route_tells(who: str, victim: Victim, strangers: dict[str, Stranger]) -> None:
    stranger = strangers[who]

    def asking(operation: Operation, hole: Hole) -> Callable[[str], Awaitable[httpx.Response]]:
        return lambda ident: request_of(stranger.caller, operation, filled(operation, stranger.own, hole, ident))

    walked = list(requests())
    await all_at_once(
        tell_nothing(victim, f"{operation.name} at {hole.path}", asking(operation, hole), kinds)
        for operation in walked
        for hole, kinds in attacks(operation, victim)
    )
    for operation in walked:
        if not operation.holes:
            answer = await request_of(stranger.caller, operation, filled(operation, {}))
            assert not victim.secrets.found_in(answer.text), operation.name
            assert who != "nobody" or answer.status_code == (200 if operation.text == OPEN else 401), operation.name


@pytest.mark.parametrize("who", ["key", "user"])
@pytest.mark.usefixtures("untouched")
async def test_no_subscription_opens(who: str, victim: Victim, strangers: dict[str, Stranger], schema: Walk) -> None:
    """Not with the victim's ids, and with one's own not after the victim's cursors."""
    stranger = strangers[who]
    async with stranger.caller.socket() as socket:

        async def refused(operation: Operation, hole: Hole, ident: str) -> Any:
            variables = filled(operation, stranger.own, hole, ident)
            [payload] = [payload async for payload in socket.subscribe(operation.text, **variables)]
            [error] = payload["errors"]
            return error["extensions"]["code"], error["message"].replace(ident, "<id>")

        for operation in schema.operations("subscription"):
            for hole, kinds in attacks(operation, victim):
                never = await refused(operation, hole, str(new_id()))
                for ident in (ident for kind in kinds for ident in victim.ids[kind][:2]):
                    assert await refused(operation, hole, ident) == never, (operation.name, hole)
            for hole in (hole for hole in operation.holes if hole.kind == "cursor"):
                codes = {(await refused(operation, hole, cursor))[0] for cursor in victim.cursors}
                assert codes == {"BAD_USER_INPUT"}, operation.name


@pytest.mark.parametrize("who", ["key", "user"])
async def test_no_event_arrives(who: str, victim: Victim, strangers: dict[str, Stranger], schema: Walk) -> None:
    stranger, busy = strangers[who], victim.people["key"]
    async with stranger.caller.socket() as socket:
        opened = [
            await socket.start(operation.text, **filled(operation, {}))
            for operation in schema.operations("subscription")
            if not operation.holes
        ]
        assert opened
        await asyncio.sleep(0.3)
        theirs = await things_of(busy, victim.tenant, PHRASE)
        await busy.data(UPDATE, note=theirs["note"], input={"title": PHRASE, "status": "COMPLETED"})
        await busy.data("mutation($c: ID!) { deleteConversation(id: $c) }", c=theirs["conversation"])
        await busy.data("mutation($n: ID!) { deleteNote(id: $n) }", n=theirs["note"])
        ours = (await stranger.caller.data(CREATE, input={"title": "Ours"}))["createNote"]["id"]
        for name in opened:
            event = (await socket.next(name))["payload"]["data"]
            assert [told["noteId"] for told in event.values()] == [ours]
