"""The chunks of every note's text, with their embeddings."""

from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Column, Index, Integer
from sqlmodel import Field, SQLModel

from models.base import reference, string

DIMENSIONS = 1536


class DocumentEmbedding(SQLModel, table=True):
    """One chunk of a note. The contract calls a note a document here."""

    __tablename__ = "document_embeddings"
    __table_args__ = (
        Index("chunks_by_workspace", "workspace_id"),
        Index(
            "chunks_by_meaning", "embedding", postgresql_using="hnsw", postgresql_ops={"embedding": "vector_cosine_ops"}
        ),
    )
    document_id: UUID = Field(sa_column=reference("notes.id", primary_key=True))
    chunk_index: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    chunk_text: str = Field(sa_column=string())
    embedding: Any = Field(sa_column=Column(VECTOR(DIMENSIONS), nullable=False))
