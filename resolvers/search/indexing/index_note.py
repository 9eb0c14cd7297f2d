"""Indexes one note: cuts its text, embeds what the workspace has no vector of, and replaces its chunks."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from models.base import Record
from resolvers.core.context import Context
from resolvers.core.ports.ai import Vector
from resolvers.search.chunks import Chunk
from resolvers.search.indexing.embed import Embedded, embed, known
from resolvers.search.indexing.note_chunks import chunks_of
from resolvers.search.indexing.queue import postpone
from resolvers.search.indexing.replace import New, VectorsGone, replace


@dataclass(frozen=True, slots=True)
class Indexed:
    """`chunks_embedded`: the texts that the embedder was sent; of all others there was a vector."""

    note_id: UUID
    chunks_indexed: int
    chunks_embedded: int


async def work(ctx: Context, job: Record) -> Indexed:
    """Indexes a note that was accepted or claimed. A failure puts it off, ever longer, and is raised."""
    try:
        chunks = await chunks_of(ctx, job)
        sent = await _index(ctx, job, chunks)
    except Exception as error:
        await postpone(ctx, job, error)
        raise
    return Indexed(job.id, len(chunks), sent)


async def _index(ctx: Context, job: Record, chunks: Sequence[Chunk]) -> int:
    identity = ctx.embedder.identity
    fingerprints = [fingerprint(identity, chunk.text) for chunk in chunks]
    texts = {mark: chunk.text for mark, chunk in zip(fingerprints, chunks, strict=True)}
    missing, refused = await known(ctx, job, list(texts))
    embedded = Embedded(refused=refused)
    while True:
        await embed(ctx, job, {mark: texts[mark] for mark in missing}, embedded)
        vectors = await asyncio.to_thread(_written, embedded.vectors)
        try:
            async with ctx.transaction() as tx:
                await replace(tx, job, New(identity, chunks, fingerprints, vectors, embedded.refused))
        except VectorsGone as gone:
            # Each time there are fewer that are not our own, so this ends.
            missing = gone.fingerprints
        else:
            return embedded.sent


def fingerprint(identity: str, text: str) -> bytes:
    """Equal for texts whose vectors are equal."""
    return hashlib.sha256(f"{identity}\0{text}".encode()).digest()


def _written(vectors: Mapping[bytes, Vector]) -> dict[bytes, str]:
    """The vectors as Postgres reads them; nine digits tell any two numbers of 32 bits apart."""
    return {mark: f"[{','.join(map('%.9g'.__mod__, vector.tolist()))}]" for mark, vector in vectors.items()}
