"""Replies: what they used, how they are found for their limits and by lease, and that one of their edits is open at most."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("usage", postgresql.JSONB(), nullable=True))
    op.create_index("messages_running", "messages", ["workspace_id"], postgresql_where="state = 'streaming'")
    op.create_index(
        "messages_spent",
        "messages",
        ["workspace_id", "updated_at"],
        postgresql_where="role = 'assistant' AND token_count IS NOT NULL",
    )
    op.drop_index("messages_by_lease", table_name="messages")
    op.create_index("messages_by_lease", "messages", ["lease_until"], postgresql_where="lease_until IS NOT NULL")
    op.create_index(
        "suggestions_one_open",
        "suggestions",
        ["conversation_id"],
        unique=True,
        postgresql_where="status = 'proposed'",
    )


def downgrade() -> None:
    op.drop_index("suggestions_one_open", table_name="suggestions")
    op.drop_index("messages_by_lease", table_name="messages")
    op.create_index("messages_by_lease", "messages", ["lease_until"], postgresql_where="state = 'streaming'")
    op.drop_index("messages_spent", table_name="messages")
    op.drop_index("messages_running", table_name="messages")
    op.drop_column("messages", "usage")
