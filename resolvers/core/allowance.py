"""A caller's rate limit allowance, as every response states it in its headers."""

from dataclasses import dataclass

from models.base import Record
from resolvers.core.errors import ErrorCode, Problem

REQUEST_COST_POINTS = 1
"""Points that every authenticated request costs, and every `connection_init` message of a WebSocket."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """`remaining` of `limit` points; at `reset_at` (Unix seconds) more become available."""

    limit: int
    remaining: int
    reset_at: int


@dataclass(slots=True)
class Meter:
    """One caller's allowance as of the last charge; every response to them reports it."""

    allowance: Allowance | None = None

    def record(self, row: Record, points: int = REQUEST_COST_POINTS) -> Allowance:
        """Stores the allowance from a row of a query with a charge. Raises RATE_LIMITED if the charge was refused."""
        self.allowance = Allowance(row.allowed, row.remaining, row.reset_at)
        if row.granted:
            return self.allowance
        needed = "" if points == REQUEST_COST_POINTS else f" This needs {points} points, {row.remaining} are left."
        text = f"The limit is {row.allowed} points in 60 seconds.{needed} Try again in {row.retry_after} seconds."
        raise Problem(ErrorCode.RATE_LIMITED, text, retry_after=row.retry_after)
