"""Time that passes for the database alone, so that no test waits for it."""

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
