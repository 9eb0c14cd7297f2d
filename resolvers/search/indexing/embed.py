"""Vectors of the texts that have none yet."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy import ARRAY, LargeBinary, column, exists, func, literal, select
from sqlmodel import col

from models import DocumentEmbedding
from models.base import Record
from resolvers.core.context import Context
from resolvers.core.ports.ai import Vector
from resolvers.search.indexing.queue import renew

log = structlog.get_logger()

EMBEDDED_AT_ONCE = 64
"""Texts in one call of the embedder; after each the lease begins anew, so a long note keeps it."""


@dataclass(slots=True)
class Embedded:
    """By fingerprint what the embedder made, and what it refused; `sent` counts the texts it was sent."""

    vectors: dict[bytes, Vector] = field(default_factory=dict)
    refused: set[bytes] = field(default_factory=set)
    sent: int = 0


async def known(ctx: Context, job: Record, fingerprints: Sequence[bytes]) -> tuple[Collection[bytes], set[bytes]]:
    """Those that the workspace has no vector of, and those whose texts were refused before: they would be again.
    A job that makes chunks anew asks for them once more."""
    if not fingerprints:
        return (), set()
    given = func.unnest(literal(list(fingerprints), ARRAY(LargeBinary)))
    wanted = given.table_valued(column("fingerprint", LargeBinary)).render_derived(name="wanted")
    same = (
        col(DocumentEmbedding.workspace_id) == job.workspace_id,
        col(DocumentEmbedding.fingerprint) == wanted.c.fingerprint,
    )
    vector = col(DocumentEmbedding.embedding)
    query = select(
        wanted.c.fingerprint,
        exists().where(*same, vector.is_not(None)).label("made"),
        exists().where(*same, vector.is_(None)).label("refused"),
    )
    async with ctx.read() as tx:
        rows = [row for row in (await tx.execute(query)).all() if not row.made]
    refused = {row.fingerprint for row in rows if row.refused and not job.outdated}
    return [row.fingerprint for row in rows if row.fingerprint not in refused], refused


async def embed(ctx: Context, job: Record, texts: Mapping[bytes, str], into: Embedded) -> None:
    """Embeds the texts, by their fingerprints, in calls of EMBEDDED_AT_ONCE; no connection is held meanwhile.

    What was made before a call fails is kept for the next attempt.
    """
    spare = ctx.embedding_cache.take(job.workspace_id, texts)
    into.vectors.update(spare)
    left = [mark for mark in texts if mark not in spare]
    try:
        for start in range(0, len(left), EMBEDDED_AT_ONCE):
            if start:
                await renew(ctx, job)
            await _call(ctx, {mark: texts[mark] for mark in left[start : start + EMBEDDED_AT_ONCE]}, into)
    except Exception:
        ctx.embedding_cache.keep(job.workspace_id, into.vectors)
        raise
    if refused := into.refused.intersection(texts):
        log.warning("indexing.refused", note_id=str(job.id), chunks=len(refused))


async def _call(ctx: Context, texts: Mapping[bytes, str], into: Embedded) -> None:
    vectors = await ctx.embedder.embed_passages(list(texts.values()))
    into.sent += len(texts)
    for mark, vector in zip(texts, vectors, strict=True):
        if vector is None:
            into.refused.add(mark)
        else:
            into.vectors[mark] = vector
