"""Alembic's entry: `caret.adapters.postgres.migrate` hands in its own connection, so no address is configured here."""

from alembic import context
from sqlmodel import SQLModel

import models  # noqa: F401 (fills SQLModel.metadata)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transaction_per_migration=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
