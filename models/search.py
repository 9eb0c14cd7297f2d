"""The chunks of every note's text, with their embeddings."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import Column, Computed, Index, Integer, LargeBinary, cast, column
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import Field, SQLModel

from models.base import choice, reference, string, timestamp

DIMENSIONS = 1536
MEANING = cast(column("embedding"), HALFVEC(DIMENSIONS))
"""What the index of meanings has: half the bytes, and the same neighbours."""
STEMS = "to_tsvector('caret_stems', chunk_text)"
"""Words without their English endings: `leases` finds `lease`. Other languages lose little by it."""


class TextSource(StrEnum):
    """Which text of a note a chunk is of; `content` was handed in for indexing in the place of all others."""

    TITLE = "title"
    USER_WRITTEN_NOTE = "user_written_note"
    SUMMARY = "summary"
    ENHANCED_NOTE = "enhanced_note"
    CONTENT_TEXT = "content_text"
    TRANSCRIPT = "transcript"
    CONTENT = "content"


class SearchMode(StrEnum):
    """By words and by meaning, fused; by meaning alone; by words alone."""

    HYBRID = "hybrid"
    SEMANTIC = "semantic"
    TEXT = "text"


class DocumentEmbedding(SQLModel, table=True):
    """One chunk of a note. The contract calls a note a document here."""

    __tablename__ = "document_embeddings"
    __table_args__ = (
        # The texts that a workspace has already; in this order a part of its chunks is a fair sample of them.
        Index("chunks_by_fingerprint", "workspace_id", "fingerprint"),
        Index("chunks_by_words", "workspace_id", "words", postgresql_using="gin"),
        Index(
            "chunks_by_meaning",
            MEANING.label("meaning"),
            postgresql_using="hnsw",
            postgresql_ops={"meaning": "halfvec_cosine_ops"},
        ),
    )
    document_id: UUID = Field(sa_column=reference("notes.id", primary_key=True))
    chunk_index: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    chunk_text: str = Field(sa_column=string())
    # SHA-256 of the embedder's identity, a NUL and the text: equal texts of one embedder have equal vectors.
    fingerprint: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    source: TextSource = Field(sa_column=choice(TextSource))
    # Characters of the source, the end exclusive, without what the chunk repeats of the one before.
    start_offset: int = Field(sa_column=Column(Integer, nullable=False))
    end_offset: int = Field(sa_column=Column(Integer, nullable=False))
    # None where the embedder refused this very text: it is found by its words only.
    embedding: Any = Field(sa_column=Column(VECTOR(DIMENSIONS), nullable=True))
    words: Any = Field(default=None, sa_column=Column(TSVECTOR, Computed(STEMS, persisted=True)))


class VectorSpace(SQLModel, table=True):
    """An embedder that made vectors which are still there, or that makes them now: the one whose `since` is the
    newest. Vectors of different spaces are never compared."""

    __tablename__ = "vector_spaces"
    identity: str = Field(sa_column=string(primary_key=True))
    since: datetime = Field(default=None, sa_column=timestamp())
