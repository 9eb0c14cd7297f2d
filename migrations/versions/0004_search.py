"""Search: chunks know their text's fingerprint, their place and their words; notes and workspaces how they are indexed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SOURCES = ("title", "user_written_note", "summary", "enhanced_note", "content_text", "transcript", "content")


def upgrade() -> None:
    # Without stop words, unlike english_stem: "it" and "will" may be a department and a person.
    op.execute("CREATE TEXT SEARCH DICTIONARY caret_stem (TEMPLATE = snowball, Language = english)")
    op.execute("CREATE TEXT SEARCH CONFIGURATION caret_stems (COPY = simple)")
    op.execute(
        "ALTER TEXT SEARCH CONFIGURATION caret_stems ALTER MAPPING FOR asciiword, asciihword, hword_asciipart"
        " WITH caret_stem"
    )
    op.execute(
        "ALTER TEXT SEARCH CONFIGURATION caret_stems ALTER MAPPING FOR hword, hword_part, word WITH unaccent, caret_stem"
    )
    op.create_table(
        "vector_spaces",
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("identity"),
    )
    op.add_column("workspaces", sa.Column("reindex_since", sa.DateTime(timezone=True), nullable=True))
    op.create_index("workspaces_to_reindex", "workspaces", ["id"], postgresql_where="reindex_since IS NOT NULL")
    op.add_column("notes", sa.Column("embedder", sa.Text(), nullable=True))
    op.create_index("notes_by_embedder", "notes", ["embedder", "id"], postgresql_where="chunk_count > 0")
    op.create_index("notes_by_indexing", "notes", ["workspace_id", "indexed_at"])
    op.drop_index("chunks_by_meaning", table_name="document_embeddings")
    op.drop_index("chunks_by_workspace", table_name="document_embeddings")
    # What is there is found by its words, and is indexed anew: nobody knows any more which embedder made it.
    op.add_column("document_embeddings", sa.Column("fingerprint", sa.LargeBinary(), nullable=True))
    op.add_column("document_embeddings", sa.Column("source", sa.String(), server_default="content", nullable=False))
    op.add_column("document_embeddings", sa.Column("start_offset", sa.Integer(), server_default="0", nullable=False))
    op.add_column("document_embeddings", sa.Column("end_offset", sa.Integer(), server_default="0", nullable=False))
    op.execute("UPDATE document_embeddings SET fingerprint = sha256(convert_to(chunk_text, 'UTF8'))")
    for column in ("source", "start_offset", "end_offset"):
        op.alter_column("document_embeddings", column, server_default=None)
    op.alter_column("document_embeddings", "fingerprint", nullable=False)
    op.alter_column("document_embeddings", "embedding", nullable=True)
    known = ", ".join(f"'{source}'" for source in SOURCES)
    op.create_check_constraint("source_known", "document_embeddings", f"source IN ({known})")
    words = sa.Computed("to_tsvector('caret_stems', chunk_text)", persisted=True)
    op.add_column("document_embeddings", sa.Column("words", postgresql.TSVECTOR(), words, nullable=True))
    op.create_index("chunks_by_fingerprint", "document_embeddings", ["workspace_id", "fingerprint"])
    op.create_index("chunks_by_words", "document_embeddings", ["workspace_id", "words"], postgresql_using="gin")
    op.create_index(
        "chunks_by_meaning",
        "document_embeddings",
        [sa.text("(embedding::halfvec(1536)) halfvec_cosine_ops")],
        postgresql_using="hnsw",
    )


def downgrade() -> None:
    op.drop_index("chunks_by_meaning", table_name="document_embeddings")
    op.drop_index("chunks_by_words", table_name="document_embeddings")
    op.drop_index("chunks_by_fingerprint", table_name="document_embeddings")
    op.execute("DELETE FROM document_embeddings WHERE embedding IS NULL")
    op.alter_column("document_embeddings", "embedding", nullable=False)
    for column in ("words", "end_offset", "start_offset", "source", "fingerprint"):
        op.drop_column("document_embeddings", column)
    op.create_index("chunks_by_workspace", "document_embeddings", ["workspace_id"])
    op.create_index(
        "chunks_by_meaning",
        "document_embeddings",
        ["embedding"],
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "vector_cosine_ops"},
    )
    op.drop_index("notes_by_indexing", table_name="notes")
    op.drop_index("notes_by_embedder", table_name="notes")
    op.drop_column("notes", "embedder")
    op.drop_column("workspaces", "reindex_since")
    op.drop_table("vector_spaces")
    op.execute("DROP TEXT SEARCH CONFIGURATION caret_stems")
    op.execute("DROP TEXT SEARCH DICTIONARY caret_stem")
