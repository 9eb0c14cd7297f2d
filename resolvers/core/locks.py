"""Advisory locks of Postgres, held until the end of a transaction, for rules about many rows at once."""

from uuid import UUID

from sqlalchemy import func, select

from resolvers.core.database import Transaction


async def acquire_lock(tx: Transaction, name: str, workspace_id: UUID) -> None:
    """Waits until no other transaction holds the lock of this name in the workspace, then holds it.

    Example: "folders", so that two changes at once can't make a cycle in the tree. Call it before any row is locked:
    two transactions that lock the same rows could otherwise wait for each other.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{name} of {workspace_id}", 0))))
