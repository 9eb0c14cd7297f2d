"""The stage of the benchmarks: servers of their own, a scripted model, a workspace with notes."""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from caret.adapters.postgres import create_engine
from caret.embedded.nats import EmbeddedNats
from caret.embedded.postgres import EmbeddedPostgres
from caret.migrate import migrate
from models import Note, Plan, Tag
from models.base import new_id
from resolvers.auth import credentials
from resolvers.core.database import Transaction
from tests.support.clients import Caller
from tests.support.llm import MODEL
from tests.support.servers import SECRET, UNLIMITED, server_process

NOTES = 200
PIECES, DELAY = 400, 0.05
AT_ONCE = 25
CREATE = "mutation($input: CreateNoteInput!) { createNote(input: $input) { id } }"


@dataclass(frozen=True)
class Stage:
    """`settings` are those of its server, for another one beside it."""

    folder: Path
    settings: dict[str, str]
    database_url: str
    llm_url: str
    database: AsyncEngine
    workspace_id: UUID
    caller: Caller
    note_ids: list[str]


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        postgres, nats = EmbeddedPostgres(folder / "postgres"), EmbeddedNats(folder / "nats")
        for server in (postgres, nats):
            stack.callback(server.stop)
        url, nats_url = postgres.start(), nats.start()
        llm_url = stack.enter_context(slow_model())
        await migrate(url)
        database = create_engine(url)
        stack.push_async_callback(database.dispose)
        addresses = {"database_url": url, "nats_url": nats_url, "llm_base_url": llm_url}
        more = {"llm_model": MODEL, "jwt_secret": SECRET, "demo": "0", "rate_limits": UNLIMITED}
        more |= {"replies_per_user": "1000", "replies_per_workspace": "1000", "tokens_per_minute": "0"}
        more |= {"llm_silence": "300"}
        settings = {**addresses, **more, "data_dir": str(folder)}
        served = stack.enter_context(server_process(**settings))
        yield await furnished(served, database, folder, settings)


@contextmanager
def slow_model() -> Iterator[str]:
    """A model that says PIECES pieces, one each DELAY seconds; a process of its own, so that it costs us no time."""
    command = [sys.executable, "-m", "bench.model", str(PIECES), str(DELAY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def furnished(served: Any, database: AsyncEngine, folder: Path, settings: dict[str, str]) -> Stage:
    """A workspace with NOTES notes of a usual size, each with tags and an author."""
    async with database.begin() as connection:
        tx = Transaction(connection)
        workspace_id = await credentials.create_workspace(tx, "Bench", Plan.ENTERPRISE)
        key = await credentials.create_key(tx, workspace_id, "bench")
        tags = [{"id": new_id(), "workspace_id": workspace_id, "name": f"t{i}", "color": "#000000"} for i in range(5)]
        await tx.execute(insert(Tag), tags)
    caller = Caller(served, key)
    ids = []
    for number in range(NOTES):
        chosen = [str(tag["id"]) for tag in tags[: number % 5]]
        note_input = {"title": f"Note {number}", "summary": "A summary. " * 20, "tagIds": chosen}
        ids.append((await caller.data(CREATE, input=note_input))["createNote"]["id"])
    while await waiting(database):
        await asyncio.sleep(0.2)
    urls = (settings["database_url"], settings["llm_base_url"])
    return Stage(folder, settings, *urls, database, workspace_id, caller, ids)


async def workspace(stage: Stage, name: str) -> tuple[UUID, Caller]:
    """Another workspace of the stage, and who has a key to it."""
    async with stage.database.begin() as connection:
        tx = Transaction(connection)
        workspace_id = await credentials.create_workspace(tx, name, Plan.ENTERPRISE)
        key = await credentials.create_key(tx, workspace_id, "bench")
    return workspace_id, Caller(stage.caller.served, key)


async def waiting(database: AsyncEngine) -> int:
    """Notes that the worker has not indexed yet: until then it takes a core from what is measured."""
    async with database.connect() as connection:
        query = select(func.count()).where(col(Note.index_done) < col(Note.index_wanted))
        return int((await connection.execute(query)).scalar_one())


async def timed(work: Callable[[], Awaitable[object]], times: int) -> list[float]:
    """Milliseconds of each of `times` calls, one after the other, after a few to warm up."""
    for _ in range(5):
        await work()
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        await work()
        spent.append((time.perf_counter() - started) * 1000)
    return spent


def line(name: str, spent: list[float], base: float | None = None) -> float:
    p50, p95 = statistics.median(spent), statistics.quantiles(spent, n=20)[-1]
    ratio = "" if base is None else f"   {p50 / base:5.1f} x"
    print(f"  {name:<46} p50 {p50:7.2f} ms   p95 {p95:7.2f} ms{ratio}")
    return p50


async def gathered(work: Callable[[int], Awaitable[Any]], many: int) -> list[Any]:
    """The results of `work(0)` to `work(many - 1)`, AT_ONCE at a time."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Any:
        async with turns:
            return await work(number)

    return await asyncio.gather(*(one(number) for number in range(many)))
