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
HALF_PRECISION_EMBEDDING = cast(column("embedding"), HALFVEC(DIMENSIONS))
"""What the vector index contains: half the bytes, and the same neighbours."""
STEMS = "to_tsvector('caret_stems', chunk_text)"
"""Words without their English endings, so that `leases` matches `lease`. Texts in other languages lose little."""


class TextSource(StrEnum):
    """The text of a note that a chunk is part of. `content` is a text that was indexed instead of the note's own."""

    TITLE = "title"
    USER_WRITTEN_NOTE = "user_written_note"
    SUMMARY = "summary"
    ENHANCED_NOTE = "enhanced_note"
    CONTENT_TEXT = "content_text"
    TRANSCRIPT = "transcript"
    CONTENT = "content"


class SearchMode(StrEnum):
    """HYBRID fuses the rankings of the other two: SEMANTIC by the nearest vectors, TEXT by the words of the query."""

    HYBRID = "hybrid"
    SEMANTIC = "semantic"
    TEXT = "text"


class DocumentEmbedding(SQLModel, table=True):
    """One chunk of a note, which the documented REST API calls a document."""

    __tablename__ = "document_embeddings"
    __table_args__ = (
        # Finds equal texts of a workspace. The first chunks in this order are a fair sample of its chunks.
        Index("chunks_by_fingerprint", "workspace_id", "fingerprint"),
        Index("chunks_by_words", "workspace_id", "words", postgresql_using="gin"),
        Index(
            "chunks_by_meaning",
            HALF_PRECISION_EMBEDDING.label("meaning"),
            postgresql_using="hnsw",
            postgresql_ops={"meaning": "halfvec_cosine_ops"},
        ),
    )
    document_id: UUID = Field(sa_column=reference("notes.id", primary_key=True))
    chunk_index: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    chunk_text: str = Field(sa_column=string())
    # SHA-256 of the embedder's identity, a NUL and the text: equal fingerprints have equal vectors.
    fingerprint: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    source: TextSource = Field(sa_column=choice(TextSource, constraint="source_known"))
    # The position in the source, in characters, the end exclusive, without the lead of the chunk.
    start_offset: int = Field(sa_column=Column(Integer, nullable=False))
    end_offset: int = Field(sa_column=Column(Integer, nullable=False))
    # None if the embedder refused this text: it is found by its words only.
    embedding: Any = Field(sa_column=Column(VECTOR(DIMENSIONS), nullable=True))
    words: Any = Field(default=None, sa_column=Column(TSVECTOR, Computed(STEMS, persisted=True)))


class VectorSpace(SQLModel, table=True):
    """An embedder that made vectors which still exist. The one with the newest `since` is the current one.

    Vectors of different spaces are never compared.
    """

    __tablename__ = "vector_spaces"
    identity: str = Field(sa_column=string(primary_key=True))
    since: datetime = Field(default=None, sa_column=timestamp())
