"""The rate limit: points that a caller spends in any 60 seconds, counted over all processes.

The SQL function `spend` of migration 0002 keeps the count in the unlogged table `rate_windows`: an exact sliding window
in whole seconds, under a lock on the caller's row. The count is in Postgres because every request asks the database who
the caller is anyway: the charge is part of that statement, is exact for any number of processes, and costs no further
round trip. The `limits` library has no storage for Postgres or NATS, and a counter in memory would grant the limit once
per process. A request that is refused costs nothing.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Integer, Uuid, bindparam, case, cast, column, extract, func, select, true
from sqlalchemy.sql.selectable import FromClause
from sqlmodel import col

from models import Plan, Workspace
from resolvers.core.allowance import Allowance
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem, not_found
from resolvers.core.limits import Limits


def build_charge(workspace_id: Any, actor_id: Any) -> tuple[FromClause, list[Any]]:
    """The parts of a query over the caller's row of `workspaces` that spends points, once for each row of its result.

    Returns the table to join laterally and the columns for a Meter. Run such a query with `charge_parameters`. At least
    one of the ids must be a column of the table that identifies the caller: the charge then waits for that row. Build a
    query once: building it takes as much CPU as running it.
    """
    allowed = case(*((col(Workspace.plan) == plan, bindparam(plan.value, type_=Integer)) for plan in Plan))
    points = bindparam("points", type_=Integer)
    columns = (column("granted", Boolean), column("remaining", Integer), column("reset_at", BigInteger))
    spent = func.spend(workspace_id, actor_id, allowed, points).table_valued(*columns).lateral("spent")
    # By the clock of the database, which counts: the clocks of the web processes may differ from it.
    now = func.floor(extract("epoch", func.clock_timestamp()))
    retry_after = cast(func.greatest(spent.c.reset_at - now, 1), Integer)
    return spent, [allowed.label("allowed"), *spent.c, retry_after.label("retry_after")]


def charge_parameters(limits: Limits, points: int) -> dict[str, Any]:
    """The parameters of a query with a charge."""
    return {"points": points, **{plan.value: allowed for plan, allowed in limits.points_per_minute.items()}}


_SPENT, _CHARGE_COLUMNS = build_charge(col(Workspace.id), bindparam("actor_id", type_=Uuid()))
_SPEND = (
    select(*_CHARGE_COLUMNS)
    .select_from(Workspace)
    .join(_SPENT, true())
    .where(col(Workspace.id) == bindparam("workspace_id", type_=Uuid()))
)


async def spend(ctx: Context, cost: int, already_spent: int) -> Allowance:
    """Spends what an operation costs beyond what was already spent for it.

    Raises RATE_LIMITED, or QUERY_TOO_COMPLEX if the cost exceeds the whole limit, so that the operation can never run.
    """
    viewer, points = ctx.viewer, cost - already_spent
    caller = {"workspace_id": viewer.workspace_id, "actor_id": viewer.actor_id}
    async with ctx.read() as tx:
        row = (await tx.execute(_SPEND, {**charge_parameters(ctx.limits, points), **caller})).one_or_none()
    if row is None:
        raise not_found("Workspace", viewer.workspace_id)
    if cost > row.allowed:
        text = f"The operation costs {cost} points, this workspace's plan allows {row.allowed} in 60 seconds."
        raise Problem(ErrorCode.QUERY_TOO_COMPLEX, text)
    return ctx.meter.record(row, points)


async def remaining_allowance(ctx: Context) -> Allowance:
    """The caller's allowance after everything that this request has spent so far."""
    return ctx.meter.allowance or await spend(ctx, 0, 0)
