"""Semantic search over the chunks of every note that the viewer may read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Float, Select, func, select
from sqlmodel import col

from models import DocumentEmbedding, Note
from models.base import Record, storable
from resolvers import access
from resolvers.access import Right
from resolvers.context import Context, Transaction
from resolvers.errors import Code, Problem, bad_input
from resolvers.intelligence import EmbedderMisconfigured, EmbedderUnavailable

MAX_QUERY = 2_000
"""Characters of a query."""
MAX_HITS = 20
COMPARED = 5_000
"""Chunks of a workspace up to which each is compared with the query, in about 20 µs.

The index is for more. All workspaces share it, and its graph has dead ends: some hundred chunks of the same text,
whosever they are, can hide all others from it.
"""


@dataclass(frozen=True, slots=True)
class Found:
    """`hits`: rows of document_id, workspace_id, chunk_index, chunk_text, document_title, score, best first."""

    hits: Sequence[Record]
    current_note_id: UUID | None


async def search(
    ctx: Context, query: str, *, first: int = 5, note_id: UUID | None = None, exclude_note: bool = False
) -> Found:
    """The chunks nearest in meaning, from the note's workspace, or from the viewer's own without a note.

    `score` is max(0, 1 - cosine distance).
    """
    checked(query, first)
    async with ctx.read() as tx:
        if note_id is None:
            access.need(ctx.me, "notes")
            workspace_id = ctx.me.workspace_id
        else:
            workspace_id = (await access.note(tx, ctx.me, note_id, Right.READ)).workspace_id
    vector = await embedded(ctx, query)
    mine = [col(DocumentEmbedding.workspace_id) == workspace_id, access.readable(ctx.me)]
    if note_id is not None and exclude_note:
        mine.append(col(DocumentEmbedding.document_id) != note_id)
    async with ctx.read() as tx:
        hits: Sequence[Record] = []
        if await _is_large(tx, workspace_id):
            hits = (await tx.execute(nearest(vector, indexed=True).where(*mine).limit(first))).all()
        if len(hits) < first:
            hits = (await tx.execute(nearest(vector, indexed=False).where(*mine).limit(first))).all()
    return Found(hits, note_id)


def nearest(vector: object, *, indexed: bool) -> Select[Any]:
    """Chunks with their notes, nearest first: by the index, or each compared."""
    distance = col(DocumentEmbedding.embedding).op("<=>", return_type=Float())(vector)
    score = func.greatest(0.0, 1.0 - distance).label("score")
    query = select(
        col(DocumentEmbedding.document_id),
        col(DocumentEmbedding.workspace_id),
        col(DocumentEmbedding.chunk_index),
        col(DocumentEmbedding.chunk_text),
        col(Note.title).label("document_title"),
        score,
    ).join(Note, col(Note.id) == col(DocumentEmbedding.document_id))
    # The index knows the order by distance only.
    return query.order_by(distance if indexed else score.desc())


async def _is_large(tx: Transaction, workspace_id: UUID) -> bool:
    mine = select(col(DocumentEmbedding.chunk_index)).where(col(DocumentEmbedding.workspace_id) == workspace_id)
    return (await tx.execute(mine.offset(COMPARED).limit(1))).first() is not None


def checked(query: str, first: int) -> None:
    if not 1 <= len(query) <= MAX_QUERY:
        raise bad_input("query", f"`query` must have between 1 and {MAX_QUERY} characters.")
    if not 1 <= first <= MAX_HITS:
        raise bad_input("first", f"`first` must be between 1 and {MAX_HITS}.")
    try:
        storable(query)
    except ValueError as error:
        raise bad_input("query", f"`query` {error}.") from None


async def embedded(ctx: Context, query: str) -> object:
    try:
        return await ctx.embedder.embed_query(query)
    except (EmbedderUnavailable, EmbedderMisconfigured) as error:
        wait = getattr(error, "retry_after", None)
        text = "The embedding provider is unavailable."
        raise Problem(Code.UNAVAILABLE, text, retry_after=None if wait is None else int(wait) + 1) from error
