"""The connection pool and its transactions."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Executable
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


class Transaction:
    """A database connection, and the wake-ups to publish once its changes are committed.

    `wakeups` maps a workspace to the last `seq` that was written to its event log.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.wakeups: dict[UUID, int] = {}

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        return await self.connection.execute(statement, parameters)


@dataclass(frozen=True, slots=True)
class Database:
    """The connection pool in three forms.

    `engine` writes. `reader` runs single reads without BEGIN and COMMIT. `snapshot_reader` runs several reads that must
    all see the same state.
    """

    engine: AsyncEngine
    reader: AsyncEngine = field(init=False)
    snapshot_reader: AsyncEngine = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reader", self.engine.execution_options(isolation_level="AUTOCOMMIT"))
        snapshot = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        object.__setattr__(self, "snapshot_reader", snapshot)
