"""Puts a note's new chunks in the place of the old ones, in one commit. Vectors are copied inside Postgres."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    ARRAY,
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
from resolvers.search.indexing.embedding_spaces import hold

MANY = 500
"""Chunks up to which a statement's usual time is enough, in an index of any size."""
ROW = {
    "chunk_index": Integer,
    "chunk_text": Text,
    "fingerprint": LargeBinary,
    "source": Text,
    "start_offset": Integer,
    "end_offset": Integer,
}


class VectorsGone(Exception):  # noqa: N818 (says what is the matter)
    """Vectors that were to be copied have gone with the note that had them; nothing was written."""

    def __init__(self, fingerprints: Collection[bytes]) -> None:
        super().__init__(f"{len(fingerprints)} vectors have gone")
        self.fingerprints = fingerprints


@dataclass(frozen=True, slots=True)
class New:
    """A note's chunks, the fingerprint of each, and of those that the workspace has no vector of the vectors, as
    Postgres reads them. `refused`: fingerprints of texts that the embedder made no vector of."""

    identity: str
    chunks: Sequence[Chunk] = ()
    fingerprints: Sequence[bytes] = ()
    vectors: Mapping[bytes, str] = field(default_factory=dict)
    refused: Collection[bytes] = ()


async def replace(tx: Transaction, job: Record, new: New) -> None:
    """Writes what is not there yet, if nothing newer has come before. Raises VectorsGone."""
    note = await _done(tx, job, new)
    if note is None:
        return
    if new.chunks:
        await hold(tx, new.identity)
    await _write(tx, job, new)
    await publish(
        tx,
        None,
        EventType.NOTE_INDEXED,
        workspace_id=job.workspace_id,
        note_id=job.id,
        audience=describe_audience(note),
    )


async def _done(tx: Transaction, job: Record, new: New) -> Record | None:
    done = {
        "index_done": job.index_wanted,
        "indexed_at": func.now(),
        "chunk_count": len(new.chunks),
        "embedder": new.identity if new.chunks else None,
        "index_failures": 0,
        # A newer ticket's lease is its own.
        "index_after": case((col(Note.index_wanted) == job.index_wanted, null()), else_=col(Note.index_after)),
    }
    mine = (col(Note.id) == job.id, col(Note.index_done) < job.index_wanted)
    shown = (col(Note.visibility), col(Note.created_by_id))
    return (await tx.execute(update(Note).where(*mine).values(done).returning(*shown))).one_or_none()


async def _write(tx: Transaction, job: Record, new: New) -> None:
    """Rows that stay are left alone. Nothing is deleted before all that is copied from it was copied: whatever moves
    to another place within the note keeps its vector."""
    old = await _old(tx, job.id)
    there = range(min(len(old), len(new.chunks)))
    changed = [i for i in there if _differs(old[i], i, new)]
    added = list(range(len(old), len(new.chunks)))
    moved = [i for i in there if i not in set(changed) and _place(new.chunks[i]) != old[i][-3:]]
    if len(changed) + len(added) > MANY:
        await tx.execute(select(func.set_config("statement_timeout", "300000", True)))
    if added:
        await _add(tx, job, new, added)
    if changed:
        await _change(tx, job, new, changed)
    if moved:
        await _move(tx, job, new, moved)
    if len(old) > len(new.chunks):
        beyond = col(DocumentEmbedding.chunk_index) >= len(new.chunks)
        await tx.execute(remove(DocumentEmbedding).where(col(DocumentEmbedding.document_id) == job.id, beyond))


async def _old(tx: Transaction, note_id: UUID) -> Sequence[Record]:
    """The rows that are there, by their index, which counts from 0 without gaps."""
    columns = (
        col(DocumentEmbedding.fingerprint),
        col(DocumentEmbedding.embedding).is_(None).label("blank"),
        col(DocumentEmbedding.source),
        col(DocumentEmbedding.start_offset),
        col(DocumentEmbedding.end_offset),
    )
    rows = select(*columns).where(col(DocumentEmbedding.document_id) == note_id)
    return (await tx.execute(rows.order_by(col(DocumentEmbedding.chunk_index)))).all()


def _differs(row: Record, i: int, new: New) -> bool:
    now_has_a_vector = row.blank and new.fingerprints[i] not in new.refused
    return bool(row.fingerprint != new.fingerprints[i] or now_has_a_vector)


def _place(chunk: Chunk) -> tuple[object, ...]:
    return chunk.source, chunk.start, chunk.end


async def _add(tx: Transaction, job: Record, new: New, places: Sequence[int]) -> None:
    rows = _with_vectors(job, new, places)
    keys = (literal(job.id).label("document_id"), literal(job.workspace_id).label("workspace_id"))
    chosen = select(*keys, *rows.c)
    added = insert(DocumentEmbedding).from_select([column.name for column in chosen.selected_columns], chosen)
    _check(new, (await tx.execute(added.returning(*VERDICT))).all())


async def _change(tx: Transaction, job: Record, new: New, places: Sequence[int]) -> None:
    rows = _with_vectors(job, new, places)
    mine = (col(DocumentEmbedding.document_id) == job.id, col(DocumentEmbedding.chunk_index) == rows.c.chunk_index)
    values = {column.name: column for column in rows.c if column.name != "chunk_index"}
    _check(new, (await tx.execute(update(DocumentEmbedding).where(*mine).values(values).returning(*VERDICT))).all())


async def _move(tx: Transaction, job: Record, new: New, places: Sequence[int]) -> None:
    """Only where the chunk is in its text: no index hears of it."""
    rows = _given(new, places)
    mine = (col(DocumentEmbedding.document_id) == job.id, col(DocumentEmbedding.chunk_index) == rows.c.chunk_index)
    values = {name: rows.c[name] for name in ("source", "start_offset", "end_offset")}
    await tx.execute(update(DocumentEmbedding).where(*mine).values(values))


VERDICT = (col(DocumentEmbedding.fingerprint), col(DocumentEmbedding.embedding).is_(None).label("blank"))


def _check(new: New, written: Sequence[Record]) -> None:
    gone = {row.fingerprint for row in written if row.blank}.difference(new.refused)
    if gone:
        raise VectorsGone(gone)


def _with_vectors(job: Record, new: New, places: Sequence[int]) -> Subquery:
    """The rows, each with the vector that was made for it, else with one that the workspace has of the same text. A
    statement sees the chunks as they were before it, so rows may even take each other's places."""
    rows = _given(new, places)
    made = {fingerprint: new.vectors[fingerprint] for fingerprint in _of(new, places) if fingerprint in new.vectors}
    fresh = _table("fresh", {"fingerprint": LargeBinary, "vector": Text}, [list(made), list(made.values())])
    has = aliased(DocumentEmbedding)
    same = (col(has.workspace_id) == job.workspace_id, col(has.fingerprint) == rows.c.fingerprint)
    copied = select(col(has.embedding)).where(*same, col(has.embedding).is_not(None)).limit(1).scalar_subquery()
    vector = func.coalesce(cast(fresh.c.vector, VECTOR(DIMENSIONS)), copied).label("embedding")
    joined = rows.outerjoin(fresh, fresh.c.fingerprint == rows.c.fingerprint)
    return select(*rows.c, vector).select_from(joined).subquery("rows_with_vectors")


def _given(new: New, places: Sequence[int]) -> TableValuedAlias:
    chunks = [new.chunks[i] for i in places]
    values: list[list[Any]] = [
        list(places),
        [chunk.text for chunk in chunks],
        _of(new, places),
        [chunk.source.value for chunk in chunks],
        [chunk.start for chunk in chunks],
        [chunk.end for chunk in chunks],
    ]
    return _table("given", ROW, values)


def _of(new: New, places: Sequence[int]) -> list[bytes]:
    return [new.fingerprints[i] for i in places]


def _table(name: str, columns: Mapping[str, type[Any]], values: Sequence[Sequence[Any]]) -> TableValuedAlias:
    """Rows as one parameter per column, however many there are."""
    arrays = (literal(list(given), ARRAY(kind)) for given, kind in zip(values, columns.values(), strict=True))
    named = (column(name, kind) for name, kind in columns.items())
    return func.unnest(*arrays).table_valued(*named).render_derived(name=name)
