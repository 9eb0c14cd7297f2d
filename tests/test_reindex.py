"""Indexing through a real server and `caret reindex`, counted at the embeddings endpoint."""

import asyncio
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import pytest
from sqlalchemy import delete as remove
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from caret.adapters.postgres import create_engine
from caret.wiring import open_context
from models import DocumentEmbedding, Note, Workspace
from resolvers.core.context import Context
from resolvers.search import indexing
from tests.conftest import Services, make_tenant
from tests.resolvers.helpers import make_own_workspace, write
from tests.support.commands import run_process
from tests.support.databases import migrated_database
from tests.support.embeddings import EmbeddingServer, embedding
from tests.support.servers import CARET, ROOT, environment, server_process, settings_of

CHANCE = random.Random(11)
WORDS = [f"word{number}" for number in range(3_000)]
CREATE = 'mutation($t: String!) { createNote(input: {title: "Long", contentText: $t}) { id } }'
STOPPED = "stopped; `caret reindex` goes on where it stopped"
SAVE = "mutation($id: ID!, $t: String!) { updateNote(id: $id, input: {contentText: $t}) { id } }"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[EmbeddingServer]:
    with embedding() as server:
        yield server


@pytest.fixture(autouse=True)
def answering(endpoint: EmbeddingServer) -> None:
    endpoint.status, endpoint.gate = 200, None
    endpoint.texts.clear()
    endpoint.held.clear()


@dataclass
class OwnDatabase:
    """A database of its own, and the settings of whoever works on it."""

    settings: dict[str, str]
    database: AsyncEngine


@pytest.fixture(scope="module")
async def here(
    services: Services, endpoint: EmbeddingServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[OwnDatabase]:
    async with migrated_database(services.database_url) as url:
        settings = services.settings | {
            "database_url": url,
            "embedding_base_url": endpoint.url,
            "embedding_model": "tiny",
            "data_dir": str(tmp_path_factory.mktemp("reindex")),
        }
        database = create_engine(url)
        yield OwnDatabase(settings, database)
        await database.dispose()


def sentence() -> str:
    return f"{' '.join(CHANCE.choices(WORDS, k=CHANCE.randint(4, 18))).capitalize()}."


async def waiting(database: AsyncEngine) -> int:
    query = select(func.count()).where(col(Note.index_done) < col(Note.index_wanted))
    async with database.connect() as connection:
        return int((await connection.execute(query)).scalar_one())


async def indexed(here: OwnDatabase) -> None:
    async with asyncio.timeout(60):
        while await waiting(here.database):
            await asyncio.sleep(0.05)


async def test_what_is_sent_for_a_long_note(here: OwnDatabase, endpoint: EmbeddingServer) -> None:
    with server_process(**here.settings) as served:
        tenant = await make_tenant(served, here.database)
        caller = await tenant.key()
        sentences = [sentence() for _ in range(600)]
        note = (await caller.data(CREATE, t=" ".join(sentences)))["createNote"]["id"]
        await indexed(here)
        assert (len(" ".join(sentences)) > 50_000, len(endpoint.texts) > 90) == (True, True)
        endpoint.texts.clear()
        sentences[300] = sentence()
        await caller.data(SAVE, id=note, t=" ".join(sentences))
        await indexed(here)
        assert 1 <= len(endpoint.texts) <= 3
        endpoint.texts.clear()
        # Saved as it is, and in another note.
        await caller.data(SAVE, id=note, t=" ".join(sentences))
        await caller.data(CREATE, t=" ".join(sentences))
        await indexed(here)
        assert endpoint.texts == []
        # Beside the running server, whose worker may do a part of it.
        done = run_process("reindex", **here.settings)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.splitlines()[-1] == "caret: done"
        assert endpoint.texts == []
        await caller.close()


RESET_SIGINT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A parent that ignores SIGINT, as a shell's background job does, passes that on: the command must not inherit it."""


@contextmanager
def reindexing(*arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", RESET_SIGINT, *CARET, "reindex", *arguments],
        cwd=ROOT,
        env=environment(**settings),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def filled(here: OwnDatabase, count: int) -> AsyncIterator[Context]:
    """A workspace of its own, whose notes this process has indexed."""
    async with open_context(settings_of(**here.settings)) as ctx:
        me = (await make_own_workspace(ctx)).ctx
        await indexing.register_embedder(me)
        for number in range(count):
            note = await write(me, f"Note {number}", summary=" ".join(sentence() for _ in range(12)))
            await indexing.index(me, note.id)
        yield me


async def longest(ctx: Context) -> int:
    """Characters of the longest chunk of the workspace."""
    query = select(func.max(func.length(DocumentEmbedding.chunk_text)))
    async with ctx.read() as tx:
        workspace_id = query.where(col(DocumentEmbedding.workspace_id) == ctx.viewer.workspace_id)
        return int((await tx.execute(workspace_id)).scalar_one())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_stopped_half_way_it_goes_on_where_it_stopped(
    here: OwnDatabase, endpoint: EmbeddingServer, number: signal.Signals
) -> None:
    async with filled(here, 24) as ctx:
        workspace_id, before = ctx.viewer.workspace_id, await longest(ctx)
        endpoint.texts.clear()
        # More than the texts of the notes that are claimed first: those are done by then.
        endpoint.room, endpoint.gate = 160, threading.Event()
        smaller = here.settings | {"chunk_size": "128", "chunk_overlap": "0"}
        only = ("--workspace", str(workspace_id))
        with reindexing(*only, **smaller) as process:
            assert await asyncio.to_thread(endpoint.held.wait, 60)
            process.send_signal(number)
            stderr = (await asyncio.to_thread(process.communicate, None, 120))[1]
        endpoint.gate.set()
        endpoint.gate = None
        left = await indexing.reindex_progress(ctx, workspace_id)
        assert (left.workspaces, 0 < left.notes < 24, before > 128) == (1, True, True)
        if number is signal.SIGINT:
            assert (process.returncode, stderr.splitlines()[-1]) == (130, f"caret: {STOPPED}")
        else:
            # As if the lease of what it had begun had ended.
            await own(here, ctx, index_after=None)
        texts = len(endpoint.texts)
        done = run_process("reindex", *only, **smaller)
        assert (done.returncode, "going on where it stopped" in done.stderr) == (0, True), done.stderr
        assert await indexing.reindex_progress(ctx, workspace_id) == indexing.ReindexProgress(0, 0)
        assert (await longest(ctx) <= 128, len(endpoint.texts) > texts) == (True, True)


async def own(here: OwnDatabase, ctx: Context, **values: object) -> None:
    async with here.database.begin() as connection:
        await connection.execute(update(Note).where(col(Note.workspace_id) == ctx.viewer.workspace_id).values(values))


async def test_while_the_provider_is_away_it_waits(here: OwnDatabase, endpoint: EmbeddingServer) -> None:
    async with filled(here, 3) as ctx:
        endpoint.status = 503
        name = str(ctx.viewer.workspace_id)
        with reindexing("--workspace", name, **here.settings, chunk_size="128", chunk_overlap="0") as process:
            assert process.stderr is not None
            lines: list[str] = []
            while not (lines and "waiting" in lines[-1]):
                lines.append(await asyncio.to_thread(process.stderr.readline))
            assert lines[-1] == "caret: waiting: The embedding endpoint answered 503.\n"
            endpoint.status = 200
            assert await asyncio.to_thread(process.wait, 60) == 0
        assert await longest(ctx) <= 128


async def test_what_it_does_not_do(here: OwnDatabase, endpoint: EmbeddingServer) -> None:
    async with filled(here, 1) as ctx:
        wrong = run_process("reindex", "--workspace", "nobody", **here.settings)
        assert (wrong.returncode, wrong.stderr) == (1, "Error: --workspace: there is no workspace nobody\n")
        other = run_process("reindex", **here.settings | {"embedding_model": "other"})
        assert other.returncode == 1
        assert other.stderr.startswith("Error: this command would embed with other@127.0.0.1, but the server does with")
        endpoint.status = 401
        refused = run_process("reindex", **here.settings | {"chunk_size": "128", "chunk_overlap": "0"})
        assert refused.returncode == 1
        assert "Error: The embedding endpoint refused the request: status 401" in refused.stderr
        assert (await indexing.reindex_progress(ctx, ctx.viewer.workspace_id)).notes == 1
        async with here.database.begin() as connection:
            await connection.execute(update(Workspace).values(reindex_since=None))


async def test_another_model_while_the_server_runs(here: OwnDatabase, endpoint: EmbeddingServer) -> None:
    """A worker with another model moves all notes, and nothing is asked to."""
    async with filled(here, 12) as ctx:
        async with here.database.begin() as connection:
            # What the other tests left would take its time.
            await connection.execute(remove(Note).where(col(Note.workspace_id) != ctx.viewer.workspace_id))
        endpoint.texts.clear()
        with server_process(**here.settings | {"embedding_model": "other"}):
            query = select(func.count()).where(col(Note.embedder) != "other@127.0.0.1", col(Note.chunk_count) > 0)
            async with asyncio.timeout(60), here.database.connect() as connection:
                while await connection.scalar(query):
                    await asyncio.sleep(0.1)
        assert {"Note 0", "Note 11"} <= {text.split(" Word")[0] for text in endpoint.texts}
        assert ctx.embedders.get("other@127.0.0.1") is not None
