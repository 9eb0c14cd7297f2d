"""Time that passes in the database alone, so that no test waits for it."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine


async def pass_seconds(database: AsyncEngine, workspace_id: UUID, seconds: int) -> None:
    """As if what the workspace's callers have spent had been spent so many seconds earlier, 61 at most.

    The places of the ring go with the second: each is found by its number modulo 61.
    """
    moved = f"second = second - {seconds}, spent = spent[{seconds + 1}\\:61] || spent[1\\:{seconds}]"
    async with database.begin() as connection:
        await connection.execute(text(f"UPDATE rate_windows SET {moved} WHERE workspace_id = :w"), {"w": workspace_id})


async def end_reply_lease(database: AsyncEngine, reply_id: str) -> float:
    """As if nobody had renewed the lease of a running reply until its end. Returns the seconds that it still had."""
    query = """UPDATE messages new SET lease_until = now() FROM messages old
        WHERE new.id = CAST(:id AS uuid) AND old.id = new.id RETURNING extract(epoch FROM old.lease_until - now())"""
    async with database.begin() as connection:
        return float((await connection.execute(text(query), {"id": reply_id})).scalar_one())
