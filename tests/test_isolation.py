"""A stranger from another workspace can't read, find, list, change, subscribe to or infer anything: every field, route
and subscription is called with the victim's ids, and must respond as it does to ids that never existed."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from models import Role
from models.base import new_id
from schema.execution.limits import ANONYMOUS_MAX_TOKENS
from tests.conftest import Services, Tenant, make_tenant
from tests.support.clients import Caller, Socket
from tests.support.llm import Script
from tests.support.routes import OPEN, request_of, requests
from tests.support.samples import UPDATE, create_samples, fetch_schema, fill_variables, send_operation, sql
from tests.support.secrets import Secrets, dump
from tests.support.servers import RunningServer
from tests.support.sizes import size
from tests.support.walk import PHRASE, Hole, Operation, Walk
from tests.test_main_job import CREATE

PUBLIC = {"models", "defaultModel"}
# Arguments that take ids of people of other workspaces: a note can be shared with anyone whose id is known.
FOR_OTHERS = {"shareNote.userId"}
# Columns that no field shows.
IN_NO_FIELD = {"notes.index_content", "messages.model_id", "messages.error", "events.payload"}
IN_NO_FIELD |= {f"recordings.{name}" for name in ("content_type", "extension", "audio_url", "error")}


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
    ids = {"workspace": tenant.id, "note": user["note"]}
    await sql(
        database,
        "INSERT INTO note_shares (id, workspace_id, note_id, user_id) VALUES (:id, :workspace, :note, :user)",
        **ids,
        id=new_id(),
        user=people["user"].user_id,
    )
    await sql(
        database,
        """INSERT INTO idempotency_keys (workspace_id, actor_id, key, fingerprint, result_id)
        VALUES (:workspace, :user, 'x', '', :note)""",
        **ids,
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
    """A cursor of each kind: of a page, of a reply and of an event."""
    page = (await caller.data("{ notes { pageInfo { endCursor } } }"))["notes"]["pageInfo"]["endCursor"]
    reply = await caller.subscribed("subscription($m: ID!) { reply(messageId: $m) { cursor } }", m=own["message"])
    async with caller.socket() as socket:
        name = await socket.start_live("subscription { workspaceEvents { cursor } }")
        await caller.data(UPDATE, note=own["note"], input={"meetingApp": "x"})
        event = (await socket.next(name))["payload"]["data"]["workspaceEvents"]["cursor"]
    return [page, reply[0]["data"]["reply"]["cursor"], event]


@pytest.fixture(scope="module")
async def schema(server: RunningServer) -> Walk:
    return await fetch_schema(server)


@dataclass
class Stranger:
    """A member of another workspace with notes of their own, or a caller without a credential."""

    caller: Caller
    own: dict[str, str] = field(default_factory=dict)
    workspace_id: uuid.UUID | None = None


@pytest.fixture(scope="module")
async def strangers(victim: Victim, server: RunningServer, database: AsyncEngine) -> AsyncIterator[dict[str, Stranger]]:
    tenant = await make_tenant(server, database)
    people = {"key": await tenant.key(), "user": await tenant.user(Role.ADMIN)}
    members = {
        name: Stranger(person, await create_samples(person, tenant, "Ours"), tenant.id)
        for name, person in people.items()
    }
    nobody = Caller(server, "")
    yield members | {"nobody": Stranger(nobody, members["user"].own)}
    for caller in (nobody, *tenant.callers):
        await caller.close()


WHO = pytest.mark.parametrize("who", ["key", "user", "nobody"])
EVERYTHING = slice(None)
SHARES = {
    "key": size(slice(0, None, 2), EVERYTHING),
    "user": size(slice(1, None, 2), EVERYTHING),
    "nobody": EVERYTHING,
}
Ask = Callable[[dict[str, Any]], Awaitable[httpx.Response]]


@pytest.fixture
async def unchanged_rows(victim: Victim, strangers: dict[str, Stranger], database: AsyncEngine) -> AsyncIterator[None]:
    """After the test the victim's rows are as before, and no row of the strangers has an id of the victim."""
    before = await dump(database, victim.tenant.id)
    yield
    assert await dump(database, victim.tenant.id) == before
    for other in (strangers["key"].workspace_id, strangers["user"].workspace_id):
        assert other is not None
        rows = str(await dump(database, other))
        assert not [ident for idents in victim.ids.values() for ident in idents if ident in rows]


def comparable(response: httpx.Response) -> tuple[Any, ...]:
    """A response without ids, times and what differs from one request to the next."""
    body = re.sub(r'"requestId": ?"[^"]*"', "", response.text)
    body = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", body)
    body = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|\+00:00)", "<time>", body)
    headers = {name for name in response.headers if name not in {"date", "x-request-id", "content-length"}}
    return response.status_code, body, headers


async def assert_nothing_revealed(
    victim: Victim, name: str, ask: Callable[[str], Awaitable[httpx.Response]], idents: list[str]
) -> None:
    """Sends the victim's ids, and one that never existed: the responses must be the same."""
    never = comparable(await ask(str(new_id())))
    for ident in idents:
        answer = await ask(ident)
        assert not victim.secrets.revealed_by(answer.text), (name, ident, answer.text)
        assert comparable(answer) == never, (name, ident)


async def run_all(work: Iterator[Awaitable[None]], concurrency: int = 3) -> None:
    async def run() -> None:
        for job in work:
            await job

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(run())


def find_attacks(operation: Operation, victim: Victim, who: str) -> Iterator[tuple[Hole, list[str]]]:
    """Each argument that takes an id, with the victim's ids to try there; other arguments are the stranger's own.

    Once for each argument that is also one id of every other kind; with an optional argument set elsewhere only ids of
    the argument's kind. The key and the user share the ids of other kinds between them; in a soak each tries all.
    """
    for hole in operation.holes:
        if hole.kind in {"cursor", "foreign"}:
            continue
        fitting = [] if hole.path in FOR_OTHERS else victim.ids.get(hole.kind, [])
        if operation.extra is None or hole.path.endswith(operation.extra):
            others = [ids[0] for kind, ids in victim.ids.items() if kind != hole.kind]
            yield hole, fitting[:2] + others[SHARES[who]]
        else:
            yield hole, fitting[:1]


async def test_the_owner_finds_every_secret(victim: Victim, schema: Walk) -> None:
    """The walk would notice a secret: the same queries show the owner every one of them."""
    revealed: set[str] = set()
    for name, person in victim.people.items():
        for operation in (one for one in schema.operations("query") if one.extra is None):
            own = {**{kind: ids[0] for kind, ids in victim.ids.items()}, **victim.own[name]}
            answer = await send_operation(person, operation, fill_variables(operation, own))
            revealed |= victim.secrets.revealed_by(answer.text)
    assert not victim.secrets.planted - revealed - IN_NO_FIELD
    walked = schema.operations("query", "mutation", "subscription")
    assert not schema.unvisited(operation for operation in walked if operation.extra is None)


@WHO
@pytest.mark.soak
@pytest.mark.parametrize("root", ["query", "mutation"])
@pytest.mark.usefixtures("unchanged_rows")
async def test_no_field_reveals_anything(
    root: str, who: str, victim: Victim, strangers: dict[str, Stranger], schema: Walk
) -> None:
    stranger = strangers[who]
    await run_all(
        assert_nothing_revealed(
            victim, f"{operation.name} at {hole.path}", attack_with(stranger, operation, hole), idents
        )
        for operation in schema.operations(root)
        if who != "nobody" or operation.extra is None
        for hole, idents in find_attacks(operation, victim, who)
    )
    await run_all(assert_no_own_access(victim, who, stranger, operation) for operation in schema.operations(root))


def attack_with(stranger: Stranger, operation: Operation, hole: Hole) -> Callable[[str], Awaitable[httpx.Response]]:
    return lambda ident: send_operation(
        stranger.caller, operation, fill_variables(operation, stranger.own, hole, ident)
    )


async def assert_no_own_access(victim: Victim, who: str, stranger: Stranger, operation: Operation) -> None:
    """Operations that need no id, and those that take a cursor, with the cursors of the victim."""
    holes = [hole for hole in operation.holes if hole.kind != "foreign"]
    cursors = [hole for hole in holes if hole.kind == "cursor"]
    if len(holes) > len(cursors) or (operation.root == "mutation" and operation.extra):
        return
    for ident in victim.cursors if cursors else [""]:
        variables = fill_variables(operation, stranger.own, cursors[0] if cursors else None, ident)
        answer = await send_operation(stranger.caller, operation, variables)
        assert not victim.secrets.revealed_by(answer.text), (operation.name, answer.text)
        assert not any(ident in answer.text for ids in victim.ids.values() for ident in ids), operation.name
        if who == "nobody" and operation.field not in PUBLIC:
            [error] = answer.json()["errors"]
            # A document that selects every field of a note is too long for a caller without a credential.
            too_long = error["message"].endswith(f"tokens, the limit is {ANONYMOUS_MAX_TOKENS}.")
            assert error["extensions"]["code"] == ("QUERY_TOO_COMPLEX" if too_long else "UNAUTHENTICATED"), operation


@WHO
@pytest.mark.soak
@pytest.mark.usefixtures("unchanged_rows")
async def test_no_route_reveals_anything(who: str, victim: Victim, strangers: dict[str, Stranger]) -> None:
    stranger = strangers[who]

    def attack_with(operation: Operation, hole: Hole) -> Callable[[str], Awaitable[httpx.Response]]:
        return lambda ident: request_of(
            stranger.caller, operation, fill_variables(operation, stranger.own, hole, ident)
        )

    walked = [request for request in requests() if who != "nobody" or request.extra is None]
    await run_all(
        assert_nothing_revealed(victim, f"{operation.name} at {hole.path}", attack_with(operation, hole), idents)
        for operation in walked
        for hole, idents in find_attacks(operation, victim, who)
    )
    for operation in walked:
        if not operation.holes:
            answer = await request_of(stranger.caller, operation, fill_variables(operation, {}))
            assert not victim.secrets.revealed_by(answer.text), operation.name
            assert who != "nobody" or answer.status_code == (200 if operation.text == OPEN else 401), operation.name


@pytest.mark.parametrize("who", ["key", "user"])
@pytest.mark.usefixtures("unchanged_rows")
async def test_no_subscription_opens(who: str, victim: Victim, strangers: dict[str, Stranger], schema: Walk) -> None:
    """Neither with the victim's ids, nor with an id of one's own after a cursor of the victim."""
    stranger = strangers[who]
    async with stranger.caller.socket() as socket:

        async def refused(operation: Operation, hole: Hole, ident: str) -> Any:
            variables = fill_variables(operation, stranger.own, hole, ident)
            [payload] = [payload async for payload in socket.subscribe(operation.text, **variables)]
            [error] = payload["errors"]
            return error["extensions"]["code"], error["message"].replace(ident, "<id>")

        for operation in schema.operations("subscription"):
            for hole, idents in find_attacks(operation, victim, who):
                never = await refused(operation, hole, str(new_id()))
                for ident in idents:
                    assert await refused(operation, hole, ident) == never, (operation.name, hole)
            for hole in (hole for hole in operation.holes if hole.kind == "cursor"):
                codes = {(await refused(operation, hole, cursor))[0] for cursor in victim.cursors}
                assert codes == {"BAD_USER_INPUT"}, operation.name


@pytest.mark.parametrize("who", ["key", "user"])
async def test_no_event_arrives(who: str, victim: Victim, strangers: dict[str, Stranger], schema: Walk) -> None:
    stranger, busy = strangers[who], victim.people["key"]
    # Otherwise events about the stranger's own notes may still come.
    await all_indexed(victim.tenant.database, stranger.workspace_id)
    async with stranger.caller.socket() as socket:
        opened = [
            await socket.start_live(operation.text, **fill_variables(operation, {}))
            for operation in schema.operations("subscription")
            if not operation.holes
        ]
        assert opened
        theirs = await create_samples(busy, victim.tenant, PHRASE)
        await busy.data(UPDATE, note=theirs["note"], input={"title": PHRASE, "status": "COMPLETED"})
        await busy.data("mutation($c: ID!) { deleteConversation(id: $c) }", c=theirs["conversation"])
        await busy.data("mutation($n: ID!) { deleteNote(id: $n) }", n=theirs["note"])
        ours = (await stranger.caller.data(CREATE, input={"title": "Ours"}))["createNote"]["id"]
        for name in opened:
            assert await next_note_id(socket, name) == ours


async def all_indexed(database: AsyncEngine, workspace_id: uuid.UUID | None) -> None:
    waiting = text("SELECT count(*) FROM notes WHERE workspace_id = :w AND index_done < index_wanted")
    async with asyncio.timeout(60), database.connect() as connection:
        while await connection.scalar(waiting, {"w": workspace_id}):
            await asyncio.sleep(0.05)


async def next_note_id(socket: Socket, name: str) -> str:
    """The id of the note that the next event is about."""
    [event] = (await socket.next(name))["payload"]["data"].values()
    return str(event["noteId"])
