"""The tables of the house: workspaces, notes, conversations, chunks, events."""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.execute("CREATE EXTENSION IF NOT EXISTS unaccent")
    # Words as they are, without their accents: notes are written in many languages, so none is assumed.
    op.execute("CREATE TEXT SEARCH CONFIGURATION caret (COPY = simple)")
    op.execute("ALTER TEXT SEARCH CONFIGURATION caret ALTER MAPPING FOR hword, hword_part, word WITH unaccent, simple")
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("profile_url", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("users_by_email", "users", [sa.literal_column("lower(email)")], unique=False)
    op.create_table(
        "workspaces",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "plan",
            sa.Enum(
                "free", "pro", "enterprise", name="plan_known", native_enum=False, create_constraint=True, length=40
            ),
            server_default="free",
            nullable=False,
        ),
        sa.Column("icon_url", sa.Text(), nullable=True),
        sa.Column("allowed_email_domains", sa.ARRAY(sa.String()), server_default="{}", nullable=False),
        sa.Column(
            "settings", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("user_id"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.String()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("api_keys_in_order", "api_keys", ["workspace_id", "created_at", "id"], unique=False)
    op.create_table(
        "events",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "type",
            sa.Enum(
                "note.created",
                "note.updated",
                "note.deleted",
                "note.completed",
                "note.audio_uploaded",
                "note.indexed",
                "conversation.created",
                "conversation.updated",
                "conversation.deleted",
                "message.created",
                "reply.started",
                "reply.finished",
                "suggestion.created",
                "suggestion.updated",
                name="eventtype_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("note_id", sa.Uuid(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column(
            "payload", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("workspace_id", "seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("events_by_note", "events", ["workspace_id", "note_id", "seq"], unique=False)
    op.create_table(
        "members",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "role",
            sa.Enum("admin", "member", name="role_known", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace_id", "user_id", name="members_once"),
    )
    op.create_index("members_by_user", "members", ["user_id", "created_at", "id"], unique=False)
    op.create_index("members_in_order", "members", ["workspace_id", "created_at", "id"], unique=False)
    op.create_table(
        "notes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "online",
                "in-person",
                "podcast",
                name="notekind_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "idle",
                "recording",
                "transcript-processing",
                "recorded-not-summarized",
                "summarizing",
                "completed",
                name="notestatus_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "visibility",
            sa.Enum(
                "private",
                "workspace",
                "shared",
                name="notevisibility_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_by_id", sa.Uuid(), nullable=True),
        sa.Column(
            "participants",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
        ),
        sa.Column("calendar_event", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("total_duration_sec", sa.Float(), server_default="0", nullable=False),
        sa.Column("user_written_note", sa.Text(), server_default="", nullable=False),
        sa.Column("enhanced_note", sa.Text(), server_default="", nullable=False),
        sa.Column("summary", sa.Text(), server_default="", nullable=False),
        sa.Column("content_text", sa.Text(), server_default="", nullable=False),
        sa.Column("content_json", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("input_language", sa.Text(), nullable=True),
        sa.Column("translation_language", sa.Text(), nullable=True),
        sa.Column("meeting_app", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("index_wanted", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("index_done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("index_content", sa.Text(), nullable=True),
        sa.Column("index_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("index_failures", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("indexed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("chunk_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "words",
            postgresql.TSVECTOR(),
            sa.Computed(
                "to_tsvector('caret', title || ' ' || left(user_written_note, 25000) || ' ' || left(summary, 25000)\n|| ' ' || left(enhanced_note, 25000) || ' ' || left(content_text, 25000))",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(["created_by_id"], ["users.id"], ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_notes_created_by_id", "notes", ["created_by_id"], unique=False)
    op.create_index("notes_by_change", "notes", ["workspace_id", "updated_at", "id"], unique=False)
    op.create_index("notes_by_creation", "notes", ["workspace_id", "created_at", "id"], unique=False)
    op.create_index(
        "notes_by_participants",
        "notes",
        ["participants"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"participants": "jsonb_path_ops"},
    )
    op.create_index("notes_by_title", "notes", ["workspace_id", "title", "id"], unique=False)
    op.create_index("notes_by_words", "notes", ["words"], unique=False, postgresql_using="gin")
    op.create_index(
        "notes_to_index", "notes", ["updated_at"], unique=False, postgresql_where="index_done < index_wanted"
    )
    op.create_table(
        "tags",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("color", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace_id", "name", name="tags_once"),
    )
    op.create_table(
        "conversations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("note_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["note_id"], ["notes.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("conversations_in_order", "conversations", ["note_id", "user_id", "updated_at", "id"], unique=False)
    op.create_index("ix_conversations_user_id", "conversations", ["user_id"], unique=False)
    op.create_index("ix_conversations_workspace_id", "conversations", ["workspace_id"], unique=False)
    op.create_table(
        "document_embeddings",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("chunk_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("chunk_text", sa.Text(), nullable=False),
        sa.Column("embedding", VECTOR(1536), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["notes.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("document_id", "chunk_index"),
    )
    op.create_index(
        "chunks_by_meaning",
        "document_embeddings",
        ["embedding"],
        unique=False,
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "vector_cosine_ops"},
    )
    op.create_index("chunks_by_workspace", "document_embeddings", ["workspace_id"], unique=False)
    op.create_table(
        "note_shares",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("note_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["note_id"], ["notes.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("note_id", "user_id", name="note_shares_once"),
    )
    op.create_index("ix_note_shares_user_id", "note_shares", ["user_id"], unique=False)
    op.create_index("ix_note_shares_workspace_id", "note_shares", ["workspace_id"], unique=False)
    op.create_table(
        "note_tags",
        sa.Column("note_id", sa.Uuid(), nullable=False),
        sa.Column("tag_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["note_id"], ["notes.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("note_id", "tag_id"),
    )
    op.create_index("ix_note_tags_workspace_id", "note_tags", ["workspace_id"], unique=False)
    op.create_index("note_tags_by_tag", "note_tags", ["tag_id", "note_id"], unique=False)
    op.create_table(
        "transcript_segments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("note_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("speaker", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("translation", sa.Text(), nullable=True),
        sa.Column("start_timestamp", sa.Text(), nullable=False),
        sa.Column("end_timestamp", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["note_id"], ["notes.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("note_id", "position", name="transcript_in_order"),
    )
    op.create_index("ix_transcript_segments_workspace_id", "transcript_segments", ["workspace_id"], unique=False)
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "system",
                "user",
                "assistant",
                "tool",
                name="messagerole_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("content", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "streaming",
                "done",
                "failed",
                "cancelled",
                name="messagestate_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("model_id", sa.Text(), nullable=True),
        sa.Column("agent_type", sa.Text(), nullable=True),
        sa.Column("token_count", sa.Integer(), nullable=True),
        sa.Column(
            "tool_calls",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_messages_workspace_id", "messages", ["workspace_id"], unique=False)
    op.create_index(
        "messages_by_lease", "messages", ["lease_until"], unique=False, postgresql_where="state = 'streaming'"
    )
    op.create_index("messages_in_order", "messages", ["conversation_id", "created_at", "id"], unique=False)
    op.create_index(
        "messages_one_reply", "messages", ["conversation_id"], unique=True, postgresql_where="state = 'streaming'"
    )
    op.create_table(
        "suggestions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("note_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "proposed",
                "applied",
                "dismissed",
                "superseded",
                name="suggestionstatus_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("operation", sa.Text(), server_default="replace_full", nullable=False),
        sa.Column("original_text", sa.Text(), nullable=True),
        sa.Column("suggested_text", sa.Text(), nullable=False),
        sa.Column("position_start", sa.Integer(), nullable=True),
        sa.Column("position_end", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["note_id"], ["notes.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_suggestions_message_id", "suggestions", ["message_id"], unique=False)
    op.create_index("ix_suggestions_note_id", "suggestions", ["note_id"], unique=False)
    op.create_index("ix_suggestions_workspace_id", "suggestions", ["workspace_id"], unique=False)
    op.create_index("suggestions_in_order", "suggestions", ["conversation_id", "created_at", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("suggestions_in_order", table_name="suggestions")
    op.drop_index("ix_suggestions_workspace_id", table_name="suggestions")
    op.drop_index("ix_suggestions_note_id", table_name="suggestions")
    op.drop_index("ix_suggestions_message_id", table_name="suggestions")
    op.drop_table("suggestions")
    op.drop_index("messages_one_reply", table_name="messages", postgresql_where="state = 'streaming'")
    op.drop_index("messages_in_order", table_name="messages")
    op.drop_index("messages_by_lease", table_name="messages", postgresql_where="state = 'streaming'")
    op.drop_index("ix_messages_workspace_id", table_name="messages")
    op.drop_table("messages")
    op.drop_index("ix_transcript_segments_workspace_id", table_name="transcript_segments")
    op.drop_table("transcript_segments")
    op.drop_index("note_tags_by_tag", table_name="note_tags")
    op.drop_index("ix_note_tags_workspace_id", table_name="note_tags")
    op.drop_table("note_tags")
    op.drop_index("ix_note_shares_workspace_id", table_name="note_shares")
    op.drop_index("ix_note_shares_user_id", table_name="note_shares")
    op.drop_table("note_shares")
    op.drop_index("chunks_by_workspace", table_name="document_embeddings")
    op.drop_index(
        "chunks_by_meaning",
        table_name="document_embeddings",
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "vector_cosine_ops"},
    )
    op.drop_table("document_embeddings")
    op.drop_index("ix_conversations_workspace_id", table_name="conversations")
    op.drop_index("ix_conversations_user_id", table_name="conversations")
    op.drop_index("conversations_in_order", table_name="conversations")
    op.drop_table("conversations")
    op.drop_table("tags")
    op.drop_index("notes_to_index", table_name="notes", postgresql_where="index_done < index_wanted")
    op.drop_index("notes_by_words", table_name="notes", postgresql_using="gin")
    op.drop_index("notes_by_title", table_name="notes")
    op.drop_index(
        "notes_by_participants",
        table_name="notes",
        postgresql_using="gin",
        postgresql_ops={"participants": "jsonb_path_ops"},
    )
    op.drop_index("notes_by_creation", table_name="notes")
    op.drop_index("notes_by_change", table_name="notes")
    op.drop_index("ix_notes_created_by_id", table_name="notes")
    op.drop_table("notes")
    op.drop_index("members_in_order", table_name="members")
    op.drop_index("members_by_user", table_name="members")
    op.drop_table("members")
    op.drop_index("events_by_note", table_name="events")
    op.drop_table("events")
    op.drop_index("api_keys_in_order", table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_table("workspaces")
    op.drop_index("users_by_email", table_name="users")
    op.drop_table("users")
    # The extensions stay: something else in this database may use them by now.
    op.execute("DROP TEXT SEARCH CONFIGURATION caret")
