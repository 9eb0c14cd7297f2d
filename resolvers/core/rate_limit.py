"""What a caller may spend in any 60 seconds: in points, by the plan of the workspace, over all processes together.

The count is the SQL function `spend` of migration 0002 over the unlogged table `rate_windows`: an exact sliding window
in whole seconds, under the lock of the caller's row. It is in Postgres because every request asks the database who is
calling anyway: the count is part of that statement, exact for any number of processes, and costs no further round trip.
The `limits` library has no storage for Postgres or NATS, and a counter in memory would grant the limit once for each
process. What is refused costs nothing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, Integer, Uuid, bindparam, case, cast, column, extract, func, select, true
from sqlalchemy.sql.selectable import FromClause
from sqlmodel import col

from models import Plan, Workspace
from models.base import Record
from resolvers.core.errors import ErrorCode, Problem, not_found

if TYPE_CHECKING:
    from resolvers.core.context import Context, Limits

POINTS_PER_MINUTE = {Plan.FREE: 60, Plan.PRO: 120, Plan.ENTERPRISE: 300}
"""What one caller may spend in 60 seconds: one API key, or one person in one workspace."""
DELIVERIES_PER_MINUTE = {Plan.FREE: 20, Plan.PRO: 40, Plan.ENTERPRISE: 100}
"""How many webhooks of a workspace are posted in 60 seconds; what exceeds it waits."""
REQUEST_COST_POINTS = 1
"""What every request costs that comes with a good credential, and every connection_init of a socket."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """`remaining` of `limit` points; at `reset_at` (Unix seconds) there is more."""

    limit: int
    remaining: int
    reset_at: int


@dataclass(slots=True)
class Meter:
    """One caller's allowance as of the last time they spent something; every reply to them tells it."""

    allowance: Allowance | None = None

    def record(self, row: Record, points: int = REQUEST_COST_POINTS) -> Allowance:
        """Takes the allowance from a row of a query with a charge. Raises RATE_LIMITED if the charge was refused."""
        self.allowance = Allowance(row.allowed, row.remaining, row.reset_at)
        if row.granted:
            return self.allowance
        wanted = "" if points == REQUEST_COST_POINTS else f" This needs {points} points, {row.remaining} are left."
        text = f"The limit is {row.allowed} points in 60 seconds.{wanted} Try again in {row.retry_after} seconds."
        raise Problem(ErrorCode.RATE_LIMITED, text, retry_after=row.retry_after)


def build_charge(workspace_id: Any, actor_id: Any) -> tuple[FromClause, list[Any]]:
    """Spends points within a query over the caller's row of `workspaces`, once for each row that is found.

    Returns the table to join laterally and the columns for a Meter. Run such a query with `charge_parameters`. At least
    one of the ids must be a column of the table that identifies the caller: the charge then waits for that row. Build a
    query once: building it takes as much CPU as running it.
    """
    allowed = case(*((col(Workspace.plan) == plan, bindparam(plan.value, type_=Integer)) for plan in Plan))
    points = bindparam("points", type_=Integer)
    told = (column("granted", Boolean), column("remaining", Integer), column("reset_at", BigInteger))
    spent = func.spend(workspace_id, actor_id, allowed, points).table_valued(*told).lateral("spent")
    # By the database's clock, which counts: the clocks of the web processes may differ from it.
    now = func.floor(extract("epoch", func.clock_timestamp()))
    wait = cast(func.greatest(spent.c.reset_at - now, 1), Integer)
    return spent, [allowed.label("allowed"), *spent.c, wait.label("retry_after")]


def charge_parameters(limits: "Limits", points: int) -> dict[str, Any]:
    """The parameters of a query with a charge."""
    return {"points": points, **{plan.value: allowed for plan, allowed in limits.points_per_minute.items()}}


_SPENT, _CHARGED = build_charge(col(Workspace.id), bindparam("actor_id", type_=Uuid()))
_PAY = (
    select(*_CHARGED)
    .select_from(Workspace)
    .join(_SPENT, true())
    .where(col(Workspace.id) == bindparam("workspace_id", type_=Uuid()))
)


async def spend(ctx: "Context", cost: int, paid: int) -> Allowance:
    """Spends what an operation costs beyond what was paid for it before.

    Raises RATE_LIMITED, or QUERY_TOO_COMPLEX where it costs more than the whole limit and so could never run.
    """
    viewer, points = ctx.viewer, cost - paid
    caller = {"workspace_id": viewer.workspace_id, "actor_id": viewer.actor_id}
    async with ctx.read() as tx:
        row = (await tx.execute(_PAY, {**charge_parameters(ctx.limits, points), **caller})).one_or_none()
    if row is None:
        raise not_found("Workspace", viewer.workspace_id)
    if cost > row.allowed:
        text = f"The operation costs {cost} points, this workspace's plan allows {row.allowed} in 60 seconds."
        raise Problem(ErrorCode.QUERY_TOO_COMPLEX, text)
    return ctx.meter.record(row, points)


async def remaining_allowance(ctx: "Context") -> Allowance:
    """The caller's allowance after all that was paid so far."""
    return ctx.meter.allowance or await spend(ctx, 0, 0)
