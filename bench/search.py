"""How near the search comes to the truth, and how long both take, as the number of chunks grows."""

import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any
from uuid import UUID

import asyncpg
from pgvector.asyncpg import register_vector
from sqlalchemy import ARRAY, Uuid, any_, literal
from sqlmodel import col

from bench.corpus import Corpus, filled, room
from bench.stage import Stage, line, timed
from caret.adapters.postgres import create_engine
from caret.migrate import migrate
from caret.providers.minilm import MiniLM
from models import Note
from models.note import NoteStatus
from resolvers.core.database import Database, Transaction
from resolvers.search.query.scope import Scope, is_large
from resolvers.search.query.semantic import QueryVector, find_nearest
from tests.support.clients import Caller
from tests.support.databases import empty_database
from tests.support.servers import server_process

SMALL, USUAL, LARGE = 10_000, 100_000, 1_000_000
QUESTIONS, AT_LARGE = 40, 20
"""Of each filter; fewer where each takes many seconds to be compared with all."""
CALLS = 100
NEAREST = 10
TRUTH = """
SELECT c.document_id, c.chunk_index FROM document_embeddings c JOIN notes n ON n.id = c.document_id
WHERE c.workspace_id = ANY($2) AND n.status = ANY($3) ORDER BY c.embedding <=> $1 LIMIT 10"""
SEARCH = """query($q: String!, $mode: SearchMode!, $filter: NoteFilter) {
  search(query: $q, first: 10, mode: $mode, filter: $filter) { note { id title } chunkIndex chunkText score highlight }
}"""


@dataclass(frozen=True)
class Subset:
    """What a filter keeps: the notes of some workspaces, all of them or those of the rare status."""

    name: str
    workspace_ids: list[UUID]
    rare: bool = False

    @property
    def statuses(self) -> list[str]:
        return ["completed"] if self.rare else ["completed", "idle"]

    @property
    def scope(self) -> Scope:
        # The product's searches are among one workspace. That of several is as one of so many chunks.
        among: Any = any_(literal(self.workspace_ids, ARRAY(Uuid)))
        return Scope(among, (col(Note.status) == NoteStatus.COMPLETED,) if self.rare else ())


async def run(stage: Stage) -> None:
    """Recall@10 and time of the nearest chunks by filter, and time of whole searches, at 10,000 and 100,000 chunks."""
    await grown(stage, (SMALL, USUAL))


async def run_large(stage: Stage) -> None:
    """Recall@10 and time of the nearest chunks by filter, and time of whole searches, at 100,000 and 1,000,000."""
    await grown(stage, (USUAL, LARGE))


async def grown(stage: Stage, sizes: tuple[int, int]) -> None:
    if problem := room(str(stage.folder), sizes[1]):
        print(f"  not run: {problem} (TMPDIR chooses another place)")
        return
    before = await measured(stage, sizes[0])
    after = await measured(stage, sizes[1])
    print(f"  what {sizes[1] / sizes[0]:.0f} times as many chunks cost (p50):")
    for name, spent in before.items():
        print(f"    {name:<44} {spent:8.2f} ms -> {after[name]:8.2f} ms {after[name] / spent:6.1f} x")


async def measured(stage: Stage, chunks: int) -> dict[str, float]:
    """Prints all of one size; returns the medians by name."""
    async with empty_database(stage.database_url) as url:
        await migrate(url)
        database = create_engine(url)
        try:
            corpus = await filled(url, database, chunks)
            return await recalled(corpus, Database(database)) | await called(stage, corpus)
        finally:
            await database.dispose()


def filters(corpus: Corpus) -> list[Subset]:
    ids = corpus.workspace_ids
    return [
        Subset("100 %, all workspaces", ids),
        Subset("10 %, ten of them", ids[:10]),
        Subset("1 %, one", ids[:1]),
        Subset("0.1 %, a tenth of one's notes", ids[:1], rare=True),
    ]


async def recalled(corpus: Corpus, database: Database) -> dict[str, float]:
    """The nearest chunks as the search finds them, beside those that comparing each gives."""
    times = {}
    async with exact(corpus.url) as truth:
        for subset in filters(corpus):
            questions = corpus.questions(QUESTIONS if corpus.chunks < LARGE else AT_LARGE)
            right, full, spent, base = 0, 0, [], []
            for question in questions:
                expected, took = await stopped(truth.fetch(TRUTH, question, subset.workspace_ids, subset.statuses))
                base.append(took)
                returned, took = await stopped(near(database, subset, question))
                spent.append(took)
                right += len({tuple(row) for row in expected} & {tuple(row)[:2] for row in returned[:NEAREST]})
                full += len(returned) >= NEAREST
            middle = statistics.median(spent)
            line(f"exact, {subset.name}", base)
            line(f"nearest, {subset.name}", spent, statistics.median(base))
            most = NEAREST * len(questions)
            print(
                f"    recall@10 {right / most:.3f}; {NEAREST} found for {full} of {len(questions)} questions",
                flush=True,
            )
            times[f"nearest, {subset.name}"] = middle
    return times


async def near(database: Database, subset: Subset, question: Any) -> Any:
    async with database.snapshot_reader.connect() as connection:
        tx, scope = Transaction(connection), subset.scope
        large = await is_large(tx, scope)
        here = scope.within(col(Note.embedder) == MiniLM.identity)
        return await find_nearest(tx, here, QueryVector(MiniLM.identity, question), large=large, grouped=False)


async def stopped(work: Any) -> tuple[Any, float]:
    """What it gives, and how many milliseconds it took."""
    started = time.perf_counter()
    returned = await work
    return returned, (time.perf_counter() - started) * 1000


@asynccontextmanager
async def exact(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        await register_vector(connection)
        yield connection
    finally:
        await connection.close()


async def called(stage: Stage, corpus: Corpus) -> dict[str, float]:
    """Whole searches in one workspace, over GraphQL, with the local model for the questions."""
    times = {}
    with server_process(**{**stage.settings, "database_url": corpus.url}) as served:
        caller = Caller(served, corpus.key)
        for mode in ("TEXT", "SEMANTIC", "HYBRID"):
            for name, chosen in ((mode, None), (f"{mode}, a tenth of the notes", {"status": "COMPLETED"})):
                phrases = cycle(corpus.phrases(CALLS))
                calls = timed(lambda: caller.data(SEARCH, q=next(phrases), mode=mode, filter=chosen), CALLS)  # noqa: B023 - used at once
                times[f"search, {name}"] = line(f"search, {name}", await calls)
        await caller.close()
    return times
