"""Locks that Postgres holds until the end of a transaction, for rules about many rows at once."""

from uuid import UUID

from sqlalchemy import func, select

from resolvers.core.database import Transaction


async def acquire_lock(tx: Transaction, what: str, workspace_id: UUID) -> None:
    """Waits until nobody else holds this name in this workspace: "folders", whose tree no two changes may bend.

    Taken before any row is locked, so that two who want the same rows can't wait for each other.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{what} of {workspace_id}", 0))))
