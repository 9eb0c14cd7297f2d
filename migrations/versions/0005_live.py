"""Webhooks and their deliveries; the event log can forget."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NOW = sa.func.now()
KNOWN = (
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
)
ADDED = "webhook.disabled"


def when(name: str, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=None if nullable else NOW)


def workspace(**kw: Any) -> sa.Column[Any]:
    return sa.Column(
        "workspace_id", sa.Uuid(), sa.ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False, **kw
    )


def know(*types: str) -> None:
    op.drop_constraint("eventtype_known", "events", type_="check")
    op.create_check_constraint("eventtype_known", "events", sa.column("type").in_(types))


def upgrade() -> None:
    know(*KNOWN, ADDED)
    op.add_column("workspaces", sa.Column("first_seq", sa.BigInteger(), nullable=False, server_default="1"))
    op.create_index("events_by_age", "events", ["created_at"])
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), primary_key=True),
        workspace(),
        sa.Column(
            "created_by_id", sa.Uuid(), sa.ForeignKey("users.id", ondelete="SET NULL"), nullable=True, index=True
        ),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("events", sa.ARRAY(sa.String()), nullable=False),
        sa.Column("is_zapier", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("is_active", sa.Boolean(), nullable=False, server_default="true"),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret", sa.LargeBinary(), nullable=True),
        when("previous_until"),
        when("failing_since"),
        when("created_at", nullable=False),
        when("updated_at", nullable=False),
    )
    op.create_index("webhooks_in_order", "webhooks", ["workspace_id", "created_at", "id"])
    op.create_index("webhooks_off", "webhooks", ["updated_at"], postgresql_where="NOT is_active")
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), primary_key=True),
        workspace(index=True),
        sa.Column("webhook_id", sa.Uuid(), sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("note_id", sa.Uuid(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "status",
            sa.String(40),
            sa.CheckConstraint("status IN ('pending', 'delivered', 'failed')", name="deliverystatus_known"),
            nullable=False,
            server_default="pending",
        ),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        when("due_at"),
        when("attempted_at"),
        when("delivered_at"),
        sa.Column("request_headers", postgresql.JSONB(), nullable=True),
        sa.Column("response_status", sa.Integer(), nullable=True),
        sa.Column("response_headers", postgresql.JSONB(), nullable=True),
        sa.Column("response_body", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        when("created_at", nullable=False),
    )
    op.create_index("deliveries_due", "deliveries", ["due_at"], postgresql_where="status = 'pending'")
    op.create_index(
        "deliveries_waiting", "deliveries", ["webhook_id", "note_id", "seq"], postgresql_where="status = 'pending'"
    )
    op.create_index("deliveries_in_order", "deliveries", ["webhook_id", "created_at", "id"])
    op.create_index("deliveries_by_age", "deliveries", ["created_at"])
    op.create_table(
        "webhook_posts",
        sa.Column("id", sa.Uuid(), primary_key=True),
        workspace(),
        when("posted_at", nullable=False),
    )
    op.create_index("webhook_posts_of_late", "webhook_posts", ["workspace_id", "posted_at"])
    op.create_index("webhook_posts_by_age", "webhook_posts", ["posted_at"])


def downgrade() -> None:
    op.drop_table("webhook_posts")
    op.drop_table("deliveries")
    op.drop_table("webhooks")
    # The version before knows no such event.
    op.execute(f"DELETE FROM events WHERE type = '{ADDED}'")  # noqa: S608 (a constant)
    know(*KNOWN)
    op.drop_index("events_by_age", table_name="events")
    op.drop_column("workspaces", "first_seq")
