"""Indexes one note: splits its text into chunks, embeds those without a vector, and replaces the stored chunks."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from models.base import Record
from resolvers.core.context import Context
from resolvers.core.ports.ai import Vector
from resolvers.search.chunks import Chunk
from resolvers.search.indexing.embed import Embedded, embed, find_missing
from resolvers.search.indexing.note_chunks import read_chunks
from resolvers.search.indexing.queue import postpone
from resolvers.search.indexing.replace import NewChunks, VectorsDeleted, replace_chunks


@dataclass(frozen=True, slots=True)
class Indexed:
    """The result of indexing a note. `chunks_embedded` counts the texts that were embedded; others had a vector."""

    note_id: UUID
    chunks_indexed: int
    chunks_embedded: int


async def work(ctx: Context, job: Record) -> Indexed:
    """Indexes the note of a job. After a failure the job is postponed, and the exception is raised."""
    try:
        chunks = await read_chunks(ctx, job)
        sent = await _index(ctx, job, chunks)
    except Exception as error:
        await postpone(ctx, job, error)
        raise
    return Indexed(job.id, len(chunks), sent)


async def _index(ctx: Context, job: Record, chunks: Sequence[Chunk]) -> int:
    """Embeds and stores the chunks. Returns how many texts the embedder was sent."""
    identity = ctx.embedder.identity
    fingerprints = [fingerprint(identity, chunk.text) for chunk in chunks]
    texts = {mark: chunk.text for mark, chunk in zip(fingerprints, chunks, strict=True)}
    missing, refused = await find_missing(ctx, job, list(texts))
    embedded = Embedded(refused=refused)
    while True:
        await embed(ctx, job, {mark: texts[mark] for mark in missing}, embedded)
        vectors = await asyncio.to_thread(_render_vectors, embedded.vectors)
        try:
            async with ctx.transaction() as tx:
                new = NewChunks(identity, chunks, fingerprints, vectors, embedded.refused)
                await replace_chunks(tx, job, new)
        except VectorsDeleted as deleted:
            # Each time fewer vectors are copied from other notes, so the loop ends.
            missing = deleted.fingerprints
        else:
            return embedded.sent


def fingerprint(identity: str, text: str) -> bytes:
    """Equal for texts whose vectors are equal."""
    return hashlib.sha256(f"{identity}\0{text}".encode()).digest()


def _render_vectors(vectors: Mapping[bytes, Vector]) -> dict[bytes, str]:
    """The vectors as Postgres reads them. Nine digits distinguish any two 32-bit floats."""
    return {mark: f"[{','.join(map('%.9g'.__mod__, vector.tolist()))}]" for mark, vector in vectors.items()}
