"""Leases: rows of a table that several workers share as work to do."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Column, DateTime, Integer, MetaData, SmallInteger, Table, Uuid, func, insert, select, update
from sqlalchemy.exc import OperationalError

from models.base import Record, new_id
from resolvers.core import leases
from resolvers.core.context import Context
from resolvers.core.failures import FAILURES
from resolvers.core.leases import Backoff, LeaseQueue

JOBS = Table(
    "lease_test_jobs",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("until", DateTime(timezone=True)),
    Column("failures", SmallInteger, nullable=False, server_default="0"),
)
LEASE_SECONDS = 60
SOME_ERROR = OSError("away")


def make_queue(**changes: Any) -> LeaseQueue:
    lease = changes.pop("lease", timedelta(seconds=LEASE_SECONDS))
    return LeaseQueue("test", JOBS, JOBS.c.id, JOBS.c.until, lease, JOBS.c.failures, **changes)


QUEUE = make_queue(backoff=Backoff(longest=timedelta(minutes=1), attempts=3))


@pytest.fixture(autouse=True)
async def table(ctx: Context) -> AsyncIterator[None]:
    async with ctx.database.engine.begin() as connection:
        await connection.run_sync(JOBS.metadata.create_all)
    yield
    async with ctx.database.engine.begin() as connection:
        await connection.run_sync(JOBS.metadata.drop_all)


async def add(ctx: Context, count: int = 1) -> None:
    async with ctx.transaction() as tx:
        await tx.execute(insert(JOBS), [{"id": new_id()} for _ in range(count)])


async def claim(ctx: Context, limit: int = 10, queue: LeaseQueue = QUEUE) -> list[Record]:
    return list(await queue.claim(ctx, select(JOBS.c.id).where(queue.is_free()), limit, [*JOBS.c]))


async def claim_one(ctx: Context, queue: LeaseQueue = QUEUE) -> Record:
    [job] = await claim(ctx, queue=queue)
    return job


async def change(ctx: Context, job: Record, **values: Any) -> None:
    async with ctx.transaction() as tx:
        await tx.execute(update(JOBS).where(JOBS.c.id == job.id).values(values))


async def end_lease(ctx: Context, job: Record) -> None:
    await change(ctx, job, until=func.now() - timedelta(seconds=1))


async def seconds_left(ctx: Context, job: Record) -> float | None:
    """Seconds until the row may be claimed."""
    query = select(func.extract("epoch", JOBS.c.until - func.now())).where(JOBS.c.id == job.id)
    async with ctx.read() as tx:
        left = (await tx.execute(query)).scalar_one()
    return None if left is None else float(left)


async def lease_end(ctx: Context, job: Record) -> datetime:
    async with ctx.read() as tx:
        end: datetime = (await tx.execute(select(JOBS.c.until).where(JOBS.c.id == job.id))).scalar_one()
    return end


async def test_workers_that_claim_at_once_share_the_rows(ctx: Context) -> None:
    await add(ctx, 12)
    claims = await asyncio.gather(*(claim(ctx, 5) for _ in range(4)))
    ids = [job.id for jobs in claims for job in jobs]
    assert (len(ids), len(set(ids)), max(map(len, claims))) == (12, 12, 5)


async def test_a_claimed_row_is_free_again_only_after_its_lease(ctx: Context) -> None:
    await add(ctx)
    job = await claim_one(ctx)
    assert await claim(ctx) == []
    left = await seconds_left(ctx, job)
    assert left is not None
    assert LEASE_SECONDS - 10 < left <= LEASE_SECONDS
    await end_lease(ctx, job)
    assert (await claim_one(ctx)).id == job.id


async def test_a_claim_writes_its_values(ctx: Context) -> None:
    await add(ctx)
    free = select(JOBS.c.id).where(QUEUE.is_free())
    [job] = await QUEUE.claim(ctx, free, 1, [*JOBS.c], version=JOBS.c.version + 1)
    assert job.version == 2


async def test_a_renewal_extends_the_lease_of_the_same_job_only(ctx: Context) -> None:
    await add(ctx)
    job = await claim_one(ctx)
    await end_lease(ctx, job)
    async with ctx.transaction() as tx:
        end = await QUEUE.renew(tx, job, JOBS.c.version == job.version)
    assert end is not None
    assert await claim(ctx) == []
    await change(ctx, job, version=2)
    async with ctx.transaction() as tx:
        assert await QUEUE.renew(tx, job, JOBS.c.version == job.version) is None


async def test_a_long_job_keeps_its_lease(ctx: Context) -> None:
    queue = make_queue(lease=timedelta(seconds=0.3))
    await add(ctx)
    job = await claim_one(ctx, queue)
    async with queue.renewing(ctx, job), asyncio.timeout(20):
        while await lease_end(ctx, job) < job.until + 2 * queue.lease:
            await asyncio.sleep(0.05)


async def test_a_renewal_that_fails_is_reported_and_tried_again(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, renewed, failures = make_queue(lease=timedelta(seconds=0.03)), asyncio.Event(), [RuntimeError("a bug")]
    really = LeaseQueue.renew

    async def renew(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        renewed.set()
        return await really(*arguments)

    monkeypatch.setattr(LeaseQueue, "renew", renew)
    await add(ctx)
    job, before = await claim_one(ctx, queue), FAILURES["test.renewal_failed"]
    async with queue.renewing(ctx, job), asyncio.timeout(20):
        await renewed.wait()
    assert FAILURES["test.renewal_failed"] == before + 1


async def test_a_postponed_job_waits_longer_with_each_failure(ctx: Context) -> None:
    queue = make_queue(backoff=Backoff(first=timedelta(seconds=100), longest=timedelta(seconds=300)))
    await add(ctx)
    job = await claim_one(ctx)
    for failures, seconds in enumerate((100, 200, 300, 300)):
        assert await queue.postpone(ctx, job, SOME_ERROR)
        left = await seconds_left(ctx, job)
        assert left is not None
        assert seconds - 10 < left <= seconds
        await end_lease(ctx, job)
        job = await claim_one(ctx)
        assert job.failures == failures + 1


async def test_a_job_that_changed_is_not_postponed(ctx: Context) -> None:
    await add(ctx)
    job = await claim_one(ctx)
    await change(ctx, job, version=2, until=None)
    assert await QUEUE.postpone(ctx, job, SOME_ERROR, JOBS.c.version == job.version)
    assert (await claim_one(ctx)).failures == 0


async def test_after_the_last_attempt_the_caller_gives_the_job_up(ctx: Context) -> None:
    await add(ctx)
    for expected in (True, True, False):
        job = await claim_one(ctx)
        assert await QUEUE.postpone(ctx, job, SOME_ERROR) is expected
        await end_lease(ctx, job)


async def test_a_released_job_is_no_longer_leased(ctx: Context) -> None:
    await add(ctx)
    job = await claim_one(ctx)
    async with ctx.transaction() as tx:
        assert await QUEUE.release(tx, job, JOBS.c.version == 2) is None
        assert await QUEUE.release(tx, job, JOBS.c.version == 1, failures=0) is not None
    assert await seconds_left(ctx, job) is None


async def test_the_count_of_failures_fits_its_column(ctx: Context) -> None:
    queue = make_queue(backoff=Backoff(longest=timedelta(minutes=1)))
    await add(ctx)
    job = await claim_one(ctx)
    await change(ctx, job, failures=leases.MAX_FAILURES, until=None)
    assert await queue.postpone(ctx, await claim_one(ctx), SOME_ERROR)


class RetryLaterError(Exception):
    retry_after = 90.5


@pytest.mark.parametrize(
    ("backoff", "failures", "error", "seconds"),
    [
        (Backoff(), 0, SOME_ERROR, 1),
        (Backoff(), 3, SOME_ERROR, 8),
        (Backoff(longest=timedelta(seconds=5)), 3, SOME_ERROR, 5),
        (Backoff(longest=timedelta(seconds=5)), 32_000, SOME_ERROR, 5),
        (Backoff(), 0, RetryLaterError(), 90.5),
        (Backoff(), 10, RetryLaterError(), 1024),
        (Backoff(longest_requested=timedelta(seconds=9)), 0, RetryLaterError(), 9),
    ],
)
def test_waits(*, backoff: Backoff, failures: int, error: Exception, seconds: float) -> None:
    assert backoff.wait(failures, error) == timedelta(seconds=seconds)


def test_an_error_of_the_database_is_no_reason_for_a_longer_wait() -> None:
    assert Backoff().wait(1, OperationalError("SELECT", {}, Exception())) == timedelta(seconds=2)
