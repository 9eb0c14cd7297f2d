"""Messages no longer store the agent type, which nothing read: it takes effect only while the reply is made."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("messages", "agent_type")


def downgrade() -> None:
    op.add_column("messages", sa.Column("agent_type", sa.Text(), nullable=True))
