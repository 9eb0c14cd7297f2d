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
from sqlalchemy.ext.asyncio import AsyncEngine

from models import Role
from models.base import new_id
from tests.conftest import Services, Tenant, make_tenant
from tests.support.clients import Caller, Socket
from tests.support.llm import Script
from tests.support.routes import OPEN, request_of, requests
from tests.support.samples import UPDATE, create_samples, fill_variables, running, send_operation, sql
from tests.support.secrets import Secrets, dump
from tests.support.servers import RunningServer
from tests.support.walk import PHRASE, Hole, Operation, Walk
from tests.test_main_job import CREATE

PUBLIC = {"models", "defaultModel"}
# Where people of other workspaces belong: a note may be shared with anybody whose id is known.
FOR_OTHERS = {"shareNote.userId"}
# Stored, and shown by no field.
NEVER_SHOWN = {"notes.index_content", "messages.model_id", "messages.error", "events.payload"}
NEVER_SHOWN |= {f"recordings.{name}" for name in ("content_type", "extension", "audio_url", "error")}


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


@pytest.fixture(scope="module")
async def victim(services: Services, server: RunningServer, database: AsyncEngine) -> AsyncIterator[Victim]:
    tenant = await make_tenant(server, database)
    secrets = Secrets(tenant.id)
    services.llm.on(PHRASE, Script(pieces=[secrets.secret("?")]))
    people = {"key": await tenant.key(), "user": await tenant.user(Role.ADMIN)}
    own = {name: await create_samples(person, tenant, PHRASE) for name, person in people.items()}
    user = own["user"]
    await sql(database, "UPDATE notes SET visibility = 'private' WHERE id = :note", note=user["note"])
    place = {"workspace": tenant.id, "note": user["note"]}
    await sql(
        database,
        "INSERT INTO note_shares (id, workspace_id, note_id, user_id) VALUES (:id, :workspace, :note, :user)",
        **place,
        id=new_id(),
        user=people["user"].user_id,
    )
    await sql(
        database,
        """INSERT INTO idempotency_keys (workspace_id, actor_id, key, fingerprint, result_id)
        VALUES (:workspace, :user, 'x', '', :note)""",
        **place,
        user=people["user"].user_id,
    )
    posted = "INSERT INTO webhook_posts (id, workspace_id, posted_at) VALUES (:id, :workspace, 'tomorrow')"
    await sql(database, posted, id=new_id(), workspace=tenant.id)
    for things in own.values():
        await sql(
            database,
            "INSERT INTO note_tags (note_id, tag_id, workspace_id) VALUES (:note, :tag, :workspace)",
            workspace=tenant.id,
            note=things["note"],
            tag=things["tag"],
        )
        await sql(
            database,
            "UPDATE notes SET folder_id = :folder WHERE id = :note",
            note=things["note"],
            folder=things["folder"],
        )
    async with database.begin() as connection:
        await secrets.plant(connection)
    yield Victim(tenant, secrets, people, own, await cursors_of(people["user"], user))
    services.llm.scripts.pop(PHRASE)
    for caller in tenant.callers:
        await caller.close()


async def cursors_of(caller: Caller, own: dict[str, str]) -> list[str]:
    """One of each kind of cursor that the server gives out."""
    page = (await caller.data("{ notes { pageInfo { endCursor } } }"))["notes"]["pageInfo"]["endCursor"]
    told = await caller.subscribed("subscription($m: ID!) { reply(messageId: $m) { cursor } }", m=own["message"])
    async with caller.socket() as socket:
        name = await socket.begun("subscription { workspaceEvents { cursor } }")
        await caller.data(UPDATE, note=own["note"], input={"meetingApp": "x"})
        event = (await socket.next(name))["payload"]["data"]["workspaceEvents"]["cursor"]
    return [page, told[0]["data"]["reply"]["cursor"], event]


@pytest.fixture(scope="module")
async def schema(server: RunningServer) -> Walk:
    return await running(server)


@dataclass
class Stranger:
    """Somebody of another workspace with things of their own, or nobody at all."""

    caller: Caller
    own: dict[str, str] = field(default_factory=dict)
    workspace_id: uuid.UUID | None = None


@pytest.fixture(scope="module")
async def strangers(victim: Victim, server: RunningServer, database: AsyncEngine) -> AsyncIterator[dict[str, Stranger]]:
    tenant = await make_tenant(server, database)
    people = {"key": await tenant.key(), "user": await tenant.user(Role.ADMIN)}
    made = {
        name: Stranger(person, await create_samples(person, tenant, "Ours"), tenant.id)
        for name, person in people.items()
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
    victim: Victim, name: str, ask: Callable[[str], Awaitable[httpx.Response]], idents: list[str]
) -> None:
    """Asks for the victim's things, and for one that never was: the answers must be the same."""
    never = told(await ask(str(new_id())))
    for ident in idents:
        answer = await ask(ident)
        assert not victim.secrets.found_in(answer.text), (name, ident, answer.text)
        assert told(answer) == never, (name, ident)


async def all_done(work: Iterator[Awaitable[None]], hands: int = 8) -> None:
    async def hand() -> None:
        for job in work:
            await job

    async with asyncio.TaskGroup() as group:
        for _ in range(hands):
            group.create_task(hand())


def attacks(operation: Operation, victim: Victim) -> Iterator[tuple[Hole, list[str]]]:
    """Each place for an id, with the victim's ids to try there; what else is needed is the stranger's own.

    Once for each place that is one of every kind; with something optional elsewhere only what belongs there.
    """
    for hole in operation.holes:
        if hole.kind in {"cursor", "foreign"}:
            continue
        fitting = [] if hole.path in FOR_OTHERS else victim.ids.get(hole.kind, [])
        if operation.extra is None or hole.path.endswith(operation.extra):
            yield hole, fitting[:2] + [ids[0] for kind, ids in victim.ids.items() if kind != hole.kind]
        else:
            yield hole, fitting[:1]


async def test_the_owner_finds_every_secret(victim: Victim, schema: Walk) -> None:
    """The walk would see what it looks for: the same queries show the owner everything."""
    found: set[str] = set()
    for name, person in victim.people.items():
        for operation in (one for one in schema.operations("query") if one.extra is None):
            own = {**{kind: ids[0] for kind, ids in victim.ids.items()}, **victim.own[name]}
            answer = await send_operation(person, operation, fill_variables(operation, own))
            found |= victim.secrets.found_in(answer.text)
    assert not victim.secrets.planted - found - NEVER_SHOWN
    walked = schema.operations("query", "mutation", "subscription")
    assert not schema.unvisited(operation for operation in walked if operation.extra is None)


@WHO
@pytest.mark.parametrize("root", ["query", "mutation"])
@pytest.mark.usefixtures("untouched")
async def test_no_field_tells(
    root: str, who: str, victim: Victim, strangers: dict[str, Stranger], schema: Walk
) -> None:
    stranger = strangers[who]
    await all_done(
        tell_nothing(victim, f"{operation.name} at {hole.path}", asking(stranger, operation, hole), idents)
        for operation in schema.operations(root)
        if who != "nobody" or operation.extra is None
        for hole, idents in attacks(operation, victim)
    )
    await all_done(plain(victim, who, stranger, operation) for operation in schema.operations(root))


def asking(stranger: Stranger, operation: Operation, hole: Hole) -> Callable[[str], Awaitable[httpx.Response]]:
    return lambda ident: send_operation(
        stranger.caller, operation, fill_variables(operation, stranger.own, hole, ident)
    )


async def plain(victim: Victim, who: str, stranger: Stranger, operation: Operation) -> None:
    """What needs no id, and cursors that the victim got."""
    holes = [hole for hole in operation.holes if hole.kind != "foreign"]
    cursors = [hole for hole in holes if hole.kind == "cursor"]
    if len(holes) > len(cursors) or (operation.root == "mutation" and operation.extra):
        return
    for ident in victim.cursors if cursors else [""]:
        variables = fill_variables(operation, stranger.own, cursors[0] if cursors else None, ident)
        answer = await send_operation(stranger.caller, operation, variables)
        assert not victim.secrets.found_in(answer.text), (operation.name, answer.text)
        assert not any(ident in answer.text for ids in victim.ids.values() for ident in ids), operation.name
        if who == "nobody" and operation.field not in PUBLIC:
            assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["UNAUTHENTICATED"]


@WHO
@pytest.mark.usefixtures("untouched")
async def test_no_route_tells(who: str, victim: Victim, strangers: dict[str, Stranger]) -> None:
    stranger = strangers[who]

    def asking(operation: Operation, hole: Hole) -> Callable[[str], Awaitable[httpx.Response]]:
        return lambda ident: request_of(
            stranger.caller, operation, fill_variables(operation, stranger.own, hole, ident)
        )

    walked = [request for request in requests() if who != "nobody" or request.extra is None]
    await all_done(
        tell_nothing(victim, f"{operation.name} at {hole.path}", asking(operation, hole), idents)
        for operation in walked
        for hole, idents in attacks(operation, victim)
    )
    for operation in walked:
        if not operation.holes:
            answer = await request_of(stranger.caller, operation, fill_variables(operation, {}))
            assert not victim.secrets.found_in(answer.text), operation.name
            assert who != "nobody" or answer.status_code == (200 if operation.text == OPEN else 401), operation.name


@pytest.mark.parametrize("who", ["key", "user"])
@pytest.mark.usefixtures("untouched")
async def test_no_subscription_opens(who: str, victim: Victim, strangers: dict[str, Stranger], schema: Walk) -> None:
    """Not with the victim's ids, and with one's own not after the victim's cursors."""
    stranger = strangers[who]
    async with stranger.caller.socket() as socket:

        async def refused(operation: Operation, hole: Hole, ident: str) -> Any:
            variables = fill_variables(operation, stranger.own, hole, ident)
            [payload] = [payload async for payload in socket.subscribe(operation.text, **variables)]
            [error] = payload["errors"]
            return error["extensions"]["code"], error["message"].replace(ident, "<id>")

        for operation in schema.operations("subscription"):
            for hole, idents in attacks(operation, victim):
                never = await refused(operation, hole, str(new_id()))
                for ident in idents:
                    assert await refused(operation, hole, ident) == never, (operation.name, hole)
            for hole in (hole for hole in operation.holes if hole.kind == "cursor"):
                codes = {(await refused(operation, hole, cursor))[0] for cursor in victim.cursors}
                assert codes == {"BAD_USER_INPUT"}, operation.name


@pytest.mark.parametrize("who", ["key", "user"])
async def test_no_event_arrives(who: str, victim: Victim, strangers: dict[str, Stranger], schema: Walk) -> None:
    stranger, busy = strangers[who], victim.people["key"]
    async with stranger.caller.socket() as socket:
        opened = [
            await socket.start(operation.text, **fill_variables(operation, {}))
            for operation in schema.operations("subscription")
            if not operation.holes
        ]
        assert opened
        await asyncio.sleep(1)
        theirs = await create_samples(busy, victim.tenant, PHRASE)
        await busy.data(UPDATE, note=theirs["note"], input={"title": PHRASE, "status": "COMPLETED"})
        await busy.data("mutation($c: ID!) { deleteConversation(id: $c) }", c=theirs["conversation"])
        await busy.data("mutation($n: ID!) { deleteNote(id: $n) }", n=theirs["note"])
        ours = (await stranger.caller.data(CREATE, input={"title": "Ours"}))["createNote"]["id"]
        # Their own notes of before may just have been indexed.
        before = {each.own["note"] for each in strangers.values()}
        for name in opened:
            while (noted := await told_of(socket, name)) in before:
                pass
            assert noted == ours


async def told_of(socket: Socket, name: str) -> str:
    """The note that the next event is about."""
    [event] = (await socket.next(name))["payload"]["data"].values()
    return str(event["noteId"])
