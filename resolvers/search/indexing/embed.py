"""Embeds the texts of a note that have no vector yet."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy import ARRAY, LargeBinary, column, exists, func, literal, select
from sqlmodel import col

from models import DocumentEmbedding
from models.base import Record
from models.limits import limit
from resolvers.core.context import Context
from resolvers.core.ports.ai import Vector
from resolvers.search.indexing.queue import renew

log = structlog.get_logger()

EMBEDDER_BATCH_SIZE = limit(64, "Texts in one call of the embedder", area="Search", beyond="embedded in batches")
"""The lease is renewed before each further batch, so the job of a long note keeps it."""


@dataclass(slots=True)
class Embedded:
    """By fingerprint the vectors that the embedder made and the texts that it refused.

    `sent` counts the texts that it was sent.
    """

    vectors: dict[bytes, Vector] = field(default_factory=dict)
    refused: set[bytes] = field(default_factory=set)
    sent: int = 0


async def find_missing(
    ctx: Context, job: Record, fingerprints: Sequence[bytes]
) -> tuple[Collection[bytes], set[bytes]]:
    """The fingerprints that have no vector in the workspace, and those whose texts the embedder refused before.

    A text that was refused would be refused again, so it is not missing; but an outdated note asks once more.
    """
    if not fingerprints:
        return (), set()
    requested = func.unnest(literal(list(fingerprints), ARRAY(LargeBinary)))
    texts = requested.table_valued(column("fingerprint", LargeBinary)).render_derived(name="texts")
    same_text = (
        col(DocumentEmbedding.workspace_id) == job.workspace_id,
        col(DocumentEmbedding.fingerprint) == texts.c.fingerprint,
    )
    vector = col(DocumentEmbedding.embedding)
    query = select(
        texts.c.fingerprint,
        exists().where(*same_text, vector.is_not(None)).label("is_embedded"),
        exists().where(*same_text, vector.is_(None)).label("is_refused"),
    )
    async with ctx.read() as tx:
        rows = [row for row in (await tx.execute(query)).all() if not row.is_embedded]
    refused = {row.fingerprint for row in rows if row.is_refused and not job.outdated}
    return [row.fingerprint for row in rows if row.fingerprint not in refused], refused


async def embed(ctx: Context, job: Record, texts: Mapping[bytes, str], into: Embedded) -> None:
    """Embeds the texts, by their fingerprints, in batches of EMBEDDER_BATCH_SIZE. No database connection is held.

    The vectors made before a batch fails are cached for the next attempt.
    """
    cached = ctx.embedding_cache.pop(job.workspace_id, texts)
    into.vectors.update(cached)
    missing = [mark for mark in texts if mark not in cached]
    try:
        for start in range(0, len(missing), EMBEDDER_BATCH_SIZE):
            if start:
                await renew(ctx, job)
            await _embed_batch(ctx, {mark: texts[mark] for mark in missing[start : start + EMBEDDER_BATCH_SIZE]}, into)
    except Exception:
        ctx.embedding_cache.put(job.workspace_id, into.vectors)
        raise
    if refused := into.refused.intersection(texts):
        log.warning("indexing.refused", note_id=str(job.id), chunks=len(refused))


async def _embed_batch(ctx: Context, texts: Mapping[bytes, str], into: Embedded) -> None:
    vectors = await ctx.embedder.embed_passages(list(texts.values()))
    into.sent += len(texts)
    for mark, vector in zip(texts, vectors, strict=True):
        if vector is None:
            into.refused.add(mark)
        else:
            into.vectors[mark] = vector
