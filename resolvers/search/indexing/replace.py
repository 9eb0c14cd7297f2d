"""Replaces a note's chunks in one commit. Vectors of known texts are copied inside Postgres."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Integer,
    LargeBinary,
    Subquery,
    TableValuedAlias,
    Text,
    case,
    cast,
    column,
    func,
    insert,
    literal,
    null,
    select,
    update,
)
from sqlalchemy import delete as remove
from sqlalchemy.orm import aliased
from sqlmodel import col

from models import DocumentEmbedding, EventType, Note
from models.base import Record
from models.search import DIMENSIONS
from resolvers.core.database import Transaction
from resolvers.events.audience import describe_audience
from resolvers.events.log import publish
from resolvers.search.chunks import Chunk
from resolvers.search.indexing.embedding_spaces import lock_embedder

MAX_CHUNKS_IN_USUAL_TIME = 500
"""More changed chunks than this get a longer statement timeout, as the vector index may be large."""
LONG_TIMEOUT_MILLISECONDS = 300_000
CHUNK_COLUMNS = {
    "chunk_index": Integer,
    "chunk_text": Text,
    "fingerprint": LargeBinary,
    "source": Text,
    "start_offset": Integer,
    "end_offset": Integer,
}


class VectorsDeleted(Exception):  # noqa: N818 (says what is the matter, as Problem does)
    """Vectors to copy were deleted meanwhile with the note that had them. Nothing was written."""

    def __init__(self, fingerprints: Collection[bytes]) -> None:
        super().__init__(f"{len(fingerprints)} vectors were deleted")
        self.fingerprints = fingerprints


@dataclass(frozen=True, slots=True)
class NewChunks:
    """The chunks to write, and the fingerprint of each.

    `identity` names the embedder. `vectors` has the vectors that are new in the workspace, as Postgres reads them, and
    `refused` the texts that the embedder made no vector of; both by fingerprint.
    """

    identity: str
    chunks: Sequence[Chunk] = ()
    fingerprints: Sequence[bytes] = ()
    vectors: Mapping[bytes, str] = field(default_factory=dict)
    refused: Collection[bytes] = ()


async def replace_chunks(tx: Transaction, job: Record, new: NewChunks) -> None:
    """Replaces the note's chunks, unless a newer text was faster. Raises VectorsDeleted."""
    note = await _finish_job(tx, job, new)
    if note is None:
        return
    if new.chunks:
        await lock_embedder(tx, new.identity)
    await _write_chunks(tx, job, new)
    await publish(
        tx,
        None,
        EventType.NOTE_INDEXED,
        workspace_id=job.workspace_id,
        note_id=job.id,
        audience=describe_audience(note),
    )


async def _finish_job(tx: Transaction, job: Record, new: NewChunks) -> Record | None:
    """Marks the job's text as indexed. Returns the note, or None if a newer text was faster or the note is deleted."""
    finished = {
        "index_done": job.index_wanted,
        "indexed_at": func.now(),
        "chunk_count": len(new.chunks),
        "embedder": new.identity if new.chunks else None,
        "index_failures": 0,
        # The lease of a newer text stays.
        "index_after": case((col(Note.index_wanted) == job.index_wanted, null()), else_=col(Note.index_after)),
    }
    is_newest = (col(Note.id) == job.id, col(Note.index_done) < job.index_wanted)
    readers = (col(Note.visibility), col(Note.created_by_id))
    return (await tx.execute(update(Note).where(*is_newest).values(finished).returning(*readers))).one_or_none()


async def _write_chunks(tx: Transaction, job: Record, new: NewChunks) -> None:
    """Writes the chunks that differ from the stored ones, and leaves the other rows alone.

    Rows are deleted last, after all vectors were copied from them: a text that moves within the note keeps its vector.
    """
    stored = await _read_stored(tx, job.id)
    common = range(min(len(stored), len(new.chunks)))
    changed = [i for i in common if _has_changed(stored[i], i, new)]
    added = list(range(len(stored), len(new.chunks)))
    moved = [i for i in common if i not in set(changed) and _position(new.chunks[i]) != stored[i][-3:]]
    if len(changed) + len(added) > MAX_CHUNKS_IN_USUAL_TIME:
        await tx.execute(select(func.set_config("statement_timeout", str(LONG_TIMEOUT_MILLISECONDS), True)))
    if added:
        await _insert(tx, job, new, added)
    if changed:
        await _update(tx, job, new, changed)
    if moved:
        await _update_positions(tx, job, new, moved)
    if len(stored) > len(new.chunks):
        surplus = col(DocumentEmbedding.chunk_index) >= len(new.chunks)
        await tx.execute(remove(DocumentEmbedding).where(col(DocumentEmbedding.document_id) == job.id, surplus))


async def _read_stored(tx: Transaction, note_id: UUID) -> Sequence[Record]:
    """The stored chunks by their index, which counts from 0 without gaps. The last three columns are the position."""
    columns = (
        col(DocumentEmbedding.fingerprint),
        col(DocumentEmbedding.embedding).is_(None).label("has_no_vector"),
        col(DocumentEmbedding.source),
        col(DocumentEmbedding.start_offset),
        col(DocumentEmbedding.end_offset),
    )
    rows = select(*columns).where(col(DocumentEmbedding.document_id) == note_id)
    return (await tx.execute(rows.order_by(col(DocumentEmbedding.chunk_index)))).all()


def _has_changed(row: Record, index: int, new: NewChunks) -> bool:
    has_a_vector_now = row.has_no_vector and new.fingerprints[index] not in new.refused
    return bool(row.fingerprint != new.fingerprints[index] or has_a_vector_now)


def _position(chunk: Chunk) -> tuple[object, ...]:
    return chunk.source, chunk.start, chunk.end


async def _insert(tx: Transaction, job: Record, new: NewChunks, indexes: Sequence[int]) -> None:
    rows = _chunks_with_vectors(job, new, indexes)
    keys = (literal(job.id).label("document_id"), literal(job.workspace_id).label("workspace_id"))
    query = select(*keys, *rows.c)
    inserted = insert(DocumentEmbedding).from_select([column.name for column in query.selected_columns], query)
    _check_vectors(new, (await tx.execute(inserted.returning(*WRITTEN))).all())


async def _update(tx: Transaction, job: Record, new: NewChunks, indexes: Sequence[int]) -> None:
    rows = _chunks_with_vectors(job, new, indexes)
    values = {column.name: column for column in rows.c if column.name != "chunk_index"}
    updated = update(DocumentEmbedding).where(*_same_chunk(job, rows)).values(values)
    _check_vectors(new, (await tx.execute(updated.returning(*WRITTEN))).all())


async def _update_positions(tx: Transaction, job: Record, new: NewChunks, indexes: Sequence[int]) -> None:
    """Updates only where the chunks are in their texts, which touches no index."""
    rows = _chunk_table(new, indexes)
    values = {name: rows.c[name] for name in ("source", "start_offset", "end_offset")}
    await tx.execute(update(DocumentEmbedding).where(*_same_chunk(job, rows)).values(values))


def _same_chunk(job: Record, rows: FromClause) -> tuple[ColumnElement[bool], ...]:
    return col(DocumentEmbedding.document_id) == job.id, col(DocumentEmbedding.chunk_index) == rows.c.chunk_index


WRITTEN = (col(DocumentEmbedding.fingerprint), col(DocumentEmbedding.embedding).is_(None).label("has_no_vector"))


def _check_vectors(new: NewChunks, written: Sequence[Record]) -> None:
    deleted = {row.fingerprint for row in written if row.has_no_vector}.difference(new.refused)
    if deleted:
        raise VectorsDeleted(deleted)


def _chunks_with_vectors(job: Record, new: NewChunks, indexes: Sequence[int]) -> Subquery:
    """The chunks, each with its new vector or with a stored one of the same text in the workspace.

    A statement sees the chunks as they were before it, so rows may even exchange their texts.
    """
    rows = _chunk_table(new, indexes)
    vectors = {mark: new.vectors[mark] for mark in _fingerprints(new, indexes) if mark in new.vectors}
    columns = {"fingerprint": LargeBinary, "vector": Text}
    fresh = _build_table("fresh", columns, [list(vectors), list(vectors.values())])
    other = aliased(DocumentEmbedding)
    same_text = (col(other.workspace_id) == job.workspace_id, col(other.fingerprint) == rows.c.fingerprint)
    stored = select(col(other.embedding)).where(*same_text, col(other.embedding).is_not(None)).limit(1)
    vector = func.coalesce(cast(fresh.c.vector, VECTOR(DIMENSIONS)), stored.scalar_subquery()).label("embedding")
    joined = rows.outerjoin(fresh, fresh.c.fingerprint == rows.c.fingerprint)
    return select(*rows.c, vector).select_from(joined).subquery("chunks_with_vectors")


def _chunk_table(new: NewChunks, indexes: Sequence[int]) -> TableValuedAlias:
    chunks = [new.chunks[i] for i in indexes]
    values: list[list[Any]] = [
        list(indexes),
        [chunk.text for chunk in chunks],
        _fingerprints(new, indexes),
        [chunk.source.value for chunk in chunks],
        [chunk.start for chunk in chunks],
        [chunk.end for chunk in chunks],
    ]
    return _build_table("chunks", CHUNK_COLUMNS, values)


def _fingerprints(new: NewChunks, indexes: Sequence[int]) -> list[bytes]:
    return [new.fingerprints[i] for i in indexes]


def _build_table(name: str, columns: Mapping[str, type[Any]], values: Sequence[Sequence[Any]]) -> TableValuedAlias:
    """A table of rows that is sent as one parameter per column, however many rows there are."""
    arrays = (literal(list(rows), ARRAY(kind)) for rows, kind in zip(values, columns.values(), strict=True))
    named = (column(name, kind) for name, kind in columns.items())
    return func.unnest(*arrays).table_valued(*named).render_derived(name=name)
