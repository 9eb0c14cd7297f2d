"""A database of chunks that nobody wrote: so many as no embedder makes in the time of a benchmark.

Its vectors lie as those of real notes do: topics, in each of them notes, in each note its chunks. Its words are
invented, and as frequent as words are: the n-th most frequent word comes 1/n times as often as the first.
"""

import hashlib
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
from numpy.typing import NDArray
from pgvector.asyncpg import register_vector
from sqlalchemy.ext.asyncio import AsyncEngine

from caret.providers.minilm import MiniLM
from models import Plan
from models.base import new_id
from models.search import DIMENSIONS
from resolvers.auth import credentials
from resolvers.core.database import Transaction

SEED = 5
WORKSPACES, PER_NOTE = 100, 10
RARE = 10
"""Every so many notes one has the status COMPLETED; the others are IDLE."""
TOPICS, WIDTH = 200, 384
CORNER, CHUNK, QUESTION = 0.9, 0.8, 1.0
"""How far from its topic a note is, a chunk from its note, and a question from the chunk that it asks for."""
VOCABULARY, WORDS = 30_000, 70
"""Words that there are, and words of a chunk: about 450 characters."""
SLICE = 5_000
"""Chunks made and sent at a time; they take 100 MB."""
DISK_PER_CHUNK = 18_000
"""Bytes on disk: 14,400 measured, and a reserve."""
INDEX_PER_CHUNK = 5_000
"""Bytes of memory that building the index of meanings takes."""
NOTES = ("id", "workspace_id", "title", "kind", "status", "visibility", "index_wanted", "index_done")
INDEXED = ("indexed_at", "chunk_count", "embedder", "user_written_note")
CHUNKS = ("document_id", "chunk_index", "workspace_id", "chunk_text", "fingerprint")
SOURCE_COLUMNS = ("source", "start_offset", "end_offset", "embedding")


@dataclass(frozen=True)
class Corpus:
    """`key` is that of the first of the workspaces."""

    url: str
    chunks: int
    workspace_ids: list[UUID]
    key: str

    def questions(self, number: int) -> list[NDArray[np.float32]]:
        """A vector near a chunk for each question, wherever that chunk is."""
        rng = np.random.default_rng([SEED, self.chunks])
        near = vectors(np.random.default_rng([SEED, 0]), min(self.chunks, SLICE))[:, :WIDTH]
        chosen = near[rng.integers(0, len(near), number)]
        return list(padded(chosen + QUESTION * unit(rng.standard_normal(chosen.shape))))

    def phrases(self, number: int) -> list[str]:
        """Five words for each question, as frequent as any."""
        drawn = np.random.default_rng([SEED, self.chunks, 1])
        return [" ".join(text.split()[:5]) for text in texts(drawn, number)]


def room(folder: str, chunks: int) -> str | None:
    """Why the disk has no room for so many chunks; None where it has."""
    free, needed = shutil.disk_usage(folder).free, chunks * DISK_PER_CHUNK
    return None if free > needed else f"needs {needed / 1e9:.0f} GB of disk in {folder}, and {free / 1e9:.0f} are free"


async def filled(url: str, database: AsyncEngine, chunks: int) -> Corpus:
    """Fills a migrated database, then builds its indexes, and prints what both took."""
    async with database.begin() as begun:
        tx = Transaction(begun)
        ids = [await credentials.create_workspace(tx, f"Workspace {i}", Plan.ENTERPRISE) for i in range(WORKSPACES)]
        key = await credentials.create_key(tx, ids[0], "bench")
    connection = await asyncpg.connect(url)
    try:
        await register_vector(connection)
        print(f"  {chunks:,} chunks in {WORKSPACES} workspaces:", end="", flush=True)
        await fill(connection, ids, chunks)
        await index(connection, chunks)
    finally:
        await connection.close()
    return Corpus(url, chunks, ids, key)


async def fill(connection: Any, workspace_ids: list[UUID], chunks: int) -> None:
    started = time.perf_counter()
    await connection.execute("INSERT INTO vector_spaces (identity) VALUES ($1)", MiniLM.identity)
    # What is written is as consistent as it is fleeting: no check of references, no log, indexes only at the end.
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("ALTER TABLE document_embeddings SET UNLOGGED")
    index_query = (
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'document_embeddings' AND indexname !~ 'pkey$'"
    )
    await connection.execute("CREATE TABLE later AS " + index_query)
    for name in await connection.fetch("SELECT indexname FROM later"):
        await connection.execute(f"DROP INDEX {name[0]}")
    for start in range(0, chunks, SLICE):
        number = min(SLICE, chunks - start)
        await send(connection, workspace_ids, start // PER_NOTE, number)
        if start % 100_000 == 0 and start:
            print(f" {start:,}", end="", flush=True)
    print(f" filled in {time.perf_counter() - started:.0f} s,", end="", flush=True)


async def send(connection: Any, workspace_ids: list[UUID], first: int, chunks: int) -> None:
    """The chunks of one slice, and their notes, the `first` of which is the so manieth of all."""
    rng = np.random.default_rng([SEED, first * PER_NOTE // SLICE])
    built, wrote, now = vectors(rng, chunks), texts(rng, chunks), datetime.now(UTC)
    notes, rows = [], []
    for offset in range(0, chunks, PER_NOTE):
        number, note_id = first + offset // PER_NOTE, new_id()
        workspace_id = workspace_ids[number % WORKSPACES]
        # The workspaces take turns, so the number within the workspace decides.
        status = "idle" if number // WORKSPACES % RARE else "completed"
        head = (note_id, workspace_id, f"Note {number}", "online", status, "workspace", 1, 1, now, PER_NOTE)
        notes.append((*head, MiniLM.identity, ""))
        for index in range(PER_NOTE):
            text = wrote[offset + index]
            mark = hashlib.sha256(f"{MiniLM.identity}\0{text}".encode()).digest()
            source = ("user_written_note", index * len(text), (index + 1) * len(text))
            rows.append((note_id, index, workspace_id, text, mark, *source, built[offset + index]))
    await connection.copy_records_to_table("notes", records=notes, columns=NOTES + INDEXED)
    await connection.copy_records_to_table("document_embeddings", records=rows, columns=CHUNKS + SOURCE_COLUMNS)


async def index(connection: Any, chunks: int) -> None:
    memory = chunks * INDEX_PER_CHUNK + 2**26
    # Processes that build together share this memory; where there is too little of it, one builds alone.
    helpers = int(shutil.disk_usage("/dev/shm").free > 2 * memory)
    await connection.execute(f"SET maintenance_work_mem = '{memory // 1024}kB'")
    await connection.execute(f"SET max_parallel_maintenance_workers = {helpers}")
    for definition in await connection.fetch("SELECT indexname, indexdef FROM later ORDER BY indexname DESC"):
        started = time.perf_counter()
        await connection.execute(definition["indexdef"])
        if definition["indexname"] == "chunks_by_meaning":
            size = await connection.fetchval("SELECT pg_relation_size('chunks_by_meaning')")
            took = time.perf_counter() - started
            print(f" the index of meanings built in {took:.0f} s, {size / 2**20:,.0f} MiB,", end="", flush=True)
    await connection.execute("VACUUM ANALYZE notes")
    await connection.execute("VACUUM ANALYZE document_embeddings")
    size = await connection.fetchval("SELECT pg_total_relation_size('document_embeddings')")
    print(f" all {size / 2**20:,.0f} MiB")


def vectors(rng: np.random.Generator, number: int) -> NDArray[np.float32]:
    """So many chunks' vectors, the chunks of a note beside each other."""
    topics = np.random.default_rng(SEED).standard_normal((TOPICS, WIDTH))
    notes = -(-number // PER_NOTE)
    corners = topics[rng.integers(0, TOPICS, notes)] + CORNER * rng.standard_normal((notes, WIDTH))
    return padded(np.repeat(corners, PER_NOTE, axis=0)[:number] + CHUNK * rng.standard_normal((number, WIDTH)))


def unit(rows: NDArray[Any]) -> NDArray[Any]:
    built: NDArray[Any] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return built


def padded(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Of unit length, and as wide as the column."""
    padded = np.zeros((len(rows), DIMENSIONS), np.float32)
    padded[:, :WIDTH] = unit(rows)
    return padded


def texts(rng: np.random.Generator, number: int) -> list[str]:
    known = np.random.default_rng(SEED)
    syllables = np.array([a + b for a in "bdfgklmnprstvz" for b in "aeiou"])
    vocabulary = ["".join(syllables[known.integers(0, len(syllables), 2 + n % 3)]) for n in range(VOCABULARY)]
    often = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    drawn = np.searchsorted(often, rng.random((number, WORDS)) * often[-1])
    return [" ".join([vocabulary[word] for word in row]) for row in drawn]
