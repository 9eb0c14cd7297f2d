"""What is spent, by whom and when: one point in the statement that finds the caller, and for nobody else."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import event, text, update
from sqlmodel import col

from caret.settings import Settings
from caret.token_issuer import issue
from caret.wiring import limits_of
from models import ApiKey, Plan, Role, Workspace
from models.base import new_id
from resolvers.auth import credentials
from resolvers.core import rate_limit
from resolvers.core.allowance import Allowance, Meter
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from tests.resolvers.helpers import OwnWorkspace, make_own_workspace, refused, statements, with_limits
from tests.support.clock import pass_seconds
from tests.support.servers import SECRET

POINTS_PER_MINUTE = limits_of(Settings()).points_per_minute
LIMIT = POINTS_PER_MINUTE[Plan.ENTERPRISE]


def token(user_id: UUID) -> str:
    address = f"{user_id}@people.example"
    return issue(SecretStr(SECRET), user_id, address, audience="authenticated", issuer=None, lifetime=600)


async def key(ctx: Context) -> str:
    async with ctx.transaction() as tx:
        return await credentials.create_key(tx, ctx.viewer.workspace_id, "test")


async def came(ctx: Context, credential: str, workspace_id: UUID | None = None) -> Allowance:
    """What is left after a request."""
    meter = Meter()
    await credentials.authenticate(ctx, credential, workspace_id, meter=meter)
    assert meter.allowance is not None
    return meter.allowance


async def spent(ctx: Context) -> dict[UUID, int]:
    """By actor, in the workspace of the context."""
    query = text("SELECT actor_id, (SELECT sum(u) FROM unnest(spent) u) FROM rate_windows WHERE workspace_id = :w")
    async with ctx.read() as tx:
        return {row[0]: row[1] for row in await tx.execute(query, {"w": ctx.viewer.workspace_id})}


async def set_plan(ctx: Context, plan: Plan) -> None:
    async with ctx.transaction() as tx:
        await tx.execute(update(Workspace).where(col(Workspace.id) == ctx.viewer.workspace_id).values(plan=plan))


async def test_a_key_spends_one_point_in_the_statement_that_reads_it(me: Context) -> None:
    ours = await key(me)
    assert (await came(me, ours)).remaining == LIMIT - 1
    with statements(me) as executed_sql:
        allowance = await came(me, ours)
    assert (allowance.limit, allowance.remaining, len(executed_sql)) == (LIMIT, LIMIT - 2, 1)
    other = await key(me)
    assert (await came(me, other)).remaining == LIMIT - 1
    assert sorted((await spent(me)).values()) == [1, 2]


async def test_a_user_spends_points_in_the_workspace_of_the_request(me: Context, ctx: Context) -> None:
    """However many they are in: the point is spent for the place that was picked, once."""
    others = [(await make_own_workspace(ctx)).ctx for _ in range(3)]
    async with ctx.transaction() as tx:
        for other in others:
            await credentials.add_member(tx, other.viewer.workspace_id, me.viewer.user_id, Role.MEMBER)
    spent_here = token(me.viewer.user_id)
    assert (await came(ctx, spent_here)).remaining == LIMIT - 1
    with statements(ctx) as told:
        assert (await came(ctx, spent_here)).remaining == LIMIT - 2
    assert len(told) == 1
    assert (await came(ctx, spent_here, others[1].viewer.workspace_id)).remaining == LIMIT - 1
    assert [await spent(one) for one in (me, *others)] == [{me.viewer.user_id: 2}, {}, {me.viewer.user_id: 1}, {}]


async def test_a_refused_credential_spends_nothing(me: Context, ctx: Context) -> None:
    ours = await key(me)
    with refused(ErrorCode.UNAUTHENTICATED):
        await came(me, ours + "x")
    with refused(ErrorCode.FORBIDDEN):
        await came(me, token(new_id()), me.viewer.workspace_id)
    async with me.transaction() as tx:
        revoked = update(ApiKey).where(col(ApiKey.workspace_id) == me.viewer.workspace_id)
        await tx.execute(revoked.values(revoked_at=text("now()")))
    with refused(ErrorCode.UNAUTHENTICATED):
        await came(me, ours)
    assert await spent(me) == {}


async def test_refreshing_a_viewer_spends_nothing(me: Context) -> None:
    viewer = await credentials.authenticate(me, await key(me), meter=Meter())
    async with me.read() as tx:
        await credentials.refresh_viewer(tx, viewer)
        await credentials.refresh_viewer(tx, me.viewer)
    assert await spent(me) == {viewer.actor_id: 1}


async def test_a_users_first_request_spends_points_in_the_new_workspace(ctx: Context) -> None:
    free = await asyncio.gather(*(came(ctx, new) for new in [token(new_id())] * 5))
    assert sorted(one.remaining for one in free) == [55, 56, 57, 58, 59]


@pytest.mark.parametrize("plan", Plan)
async def test_the_plan_decides_the_limit(me: Context, plan: Plan) -> None:
    await set_plan(me, plan)
    limited = with_limits(me, points_per_minute={Plan.FREE: 1, Plan.PRO: 2, Plan.ENTERPRISE: 3})
    ours, limit = await key(me), limited.limits.points_per_minute[plan]
    for left in reversed(range(limit)):
        assert (await came(limited, ours)).remaining == left
    meter = Meter()
    with pytest.raises(Problem) as caught:
        await credentials.authenticate(limited, ours, meter=meter)
    assert caught.value.code is ErrorCode.RATE_LIMITED
    assert caught.value.retry_after is not None
    assert 1 <= caught.value.retry_after <= 61
    text_ = f"The limit is {limit} points in 60 seconds. Try again in {caught.value.retry_after} seconds."
    assert (caught.value.message, meter.allowance and meter.allowance.remaining) == (text_, 0)
    # Another plan counts at once.
    await set_plan(me, Plan.ENTERPRISE)
    left = 3 - limit - 1
    if left >= 0:
        assert (await came(limited, ours)).remaining == left


async def test_a_downgraded_workspace_owes_nothing(me: Context) -> None:
    ours = await key(me)
    for _ in range(3):
        await came(me, ours)
    await set_plan(me, Plan.FREE)
    with pytest.raises(Problem) as caught:
        await came(with_limits(me, points_per_minute={**POINTS_PER_MINUTE, Plan.FREE: 2}), ours)
    assert caught.value.code is ErrorCode.RATE_LIMITED
    assert set((await spent(me)).values()) == {3}


async def test_a_cost_is_spent_completely_or_not_at_all(me: Context) -> None:
    limited = with_limits(me, points_per_minute={**POINTS_PER_MINUTE, Plan.ENTERPRISE: 10})
    assert await rate_limit.spend(limited, 7, 0) == limited.meter.allowance
    assert limited.meter.allowance is not None
    before = limited.meter.allowance
    assert before.remaining == 3
    with pytest.raises(Problem) as caught:
        await rate_limit.spend(limited, 5, 1)
    assert caught.value.code is ErrorCode.RATE_LIMITED
    assert caught.value.message.startswith(
        "The limit is 10 points in 60 seconds. This needs 4 points, 3 are left. Try again in "
    )
    assert limited.meter.allowance == before
    assert (await rate_limit.spend(limited, 3, 0)).remaining == 0
    with pytest.raises(Problem) as caught:
        await rate_limit.spend(limited, 11, 1)
    assert (caught.value.code, caught.value.message) == (
        ErrorCode.QUERY_TOO_COMPLEX,
        "The operation costs 11 points, this workspace's plan allows 10 in 60 seconds.",
    )
    assert await spent(me) == {me.viewer.user_id: 10}


async def test_reading_the_remaining_allowance_spends_nothing(me: Context) -> None:
    assert (await rate_limit.remaining_allowance(me)).remaining == LIMIT
    assert set((await spent(me)).values()) == {0}


async def test_the_use_of_a_key_is_recorded_once_a_minute(me: Context) -> None:
    ours = await key(me)

    async def noted() -> list[tuple[Any, ...]]:
        async with me.read() as tx:
            query = text("SELECT xmin, last_used_at, now() FROM api_keys WHERE workspace_id = :w")
            return [tuple(row) for row in await tx.execute(query, {"w": me.viewer.workspace_id})]

    with statements(me) as executed_sql:
        await came(me, ours)
        await came(me, ours)
    assert [one.partition(" ")[0] for one in executed_sql] == ["SELECT", "UPDATE", "SELECT"]
    [(version, used, now)] = await noted()
    assert now - used < timedelta(seconds=30)

    async with me.transaction() as tx:
        older = text("UPDATE api_keys SET last_used_at = last_used_at - interval '59 seconds' WHERE workspace_id = :w")
        await tx.execute(older, {"w": me.viewer.workspace_id})
    [(version, used, _)] = await noted()
    await came(me, ours)
    assert [(row[0], row[1]) for row in await noted()] == [(version, used)]
    async with me.transaction() as tx:
        await tx.execute(text(older.text.replace("59", "2")), {"w": me.viewer.workspace_id})
    await came(me, ours)
    [(_, again, _)] = await noted()
    assert again - used > timedelta(seconds=50)


async def test_of_many_first_uses_at_once_one_is_recorded(me: Context) -> None:
    ours, written = await key(me), list[int]()

    def count(_connection: object, cursor: Any, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE api_keys"):
            written.append(cursor.rowcount)

    engine = me.database.engine.sync_engine
    event.listen(engine, "after_cursor_execute", count)
    try:
        await asyncio.gather(*(came(me, ours) for _ in range(15)))
    finally:
        event.remove(engine, "after_cursor_execute", count)
    assert sum(written) == 1, written


async def test_the_window_slides_by_the_second(own_workspace: OwnWorkspace) -> None:
    me = with_limits(own_workspace.ctx, points_per_minute={**POINTS_PER_MINUTE, Plan.ENTERPRISE: 10})

    async def passed(seconds: int) -> None:
        await pass_seconds(me.database.engine, me.viewer.workspace_id, seconds)

    first = await rate_limit.spend(me, 5, 0)
    await passed(30)
    second = await rate_limit.spend(me, 5, 0)
    assert (first.remaining, second.remaining) == (5, 0)
    # What comes free next is what was spent first, 30 seconds ago.
    assert first.reset_at - second.reset_at in {29, 30}
    with pytest.raises(Problem) as caught:
        await rate_limit.spend(me, 1, 0)
    assert caught.value.retry_after in {30, 31}
    with pytest.raises(Problem) as caught:
        await rate_limit.spend(me, 6, 0)
    assert caught.value.retry_after in {60, 61}
    await passed(31)
    third = await rate_limit.spend(me, 5, 0)
    assert third.remaining == 0
    with refused(ErrorCode.RATE_LIMITED):
        await rate_limit.spend(me, 1, 0)
    await passed(61)
    assert (await rate_limit.spend(me, 10, 0)).remaining == 0
