"""Leases: how several workers share the rows of a table that are work to do.

A queue is a table with a column `until`. A worker claims a row by moving `until` into the future: until then no other
worker claims it. It renews the lease while it works, and postpones the row after a failure, ever longer, or gives it up
after the last attempt. A worker that dies leaves a lease that ends by itself, so the work is done again from its
beginning: it must be harmless to do it twice.

    INDEXING = LeaseQueue("indexing", Note, id=col(Note.id), until=col(Note.index_after), lease=timedelta(seconds=120),
                          failures=col(Note.index_failures), backoff=Backoff(longest=timedelta(minutes=10)))
    jobs = await INDEXING.claim(ctx, select(col(Note.id)).where(INDEXING.is_free(), ...), 8, columns)
    async with INDEXING.renewing(ctx, job, *conditions): ...
    if not await INDEXING.postpone(ctx, job, error, *conditions): ...

`conditions` say in SQL that the row is still the job that was claimed: whoever changes a row while it is being worked
on must make them false.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, update
from sqlalchemy.sql.dml import ReturningUpdate

from models.base import Record
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.failures import report_failure

RENEWALS_PER_LEASE = 3
"""How often a lease is renewed within its length, so that one failed renewal does not lose the lease."""
MAX_FAILURES = 32_767
"""The count of failures stops here: its columns are small integers."""
MAX_EXPONENT = 20
"""Failures after which the wait no longer doubles: without a bound it would exceed what a timedelta holds."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The waits between attempts: `first`, doubled with each failure, up to `longest`.

    An error may request a longer wait with its attribute `retry_after` (seconds), up to `longest_requested`. `attempts`
    is how often the work is tried in all; None: for ever.
    """

    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta.max
    longest_requested: timedelta = timedelta.max
    attempts: int | None = None

    def is_last(self, failures: int) -> bool:
        """Whether an attempt after so many failures is the last one."""
        return self.attempts is not None and failures + 1 >= self.attempts

    def wait(self, failures: int, error: Exception | None = None) -> timedelta:
        """The wait after an attempt that failed with `error` and had `failures` failures before it."""
        wait = min(self.first * 2.0 ** min(failures, MAX_EXPONENT), self.longest)
        requested: float | None = getattr(error, "retry_after", None)
        if requested is not None:
            wait = max(wait, min(timedelta(seconds=requested), self.longest_requested))
        return wait


@dataclass(frozen=True, slots=True)
class LeaseQueue:
    """The work in a table. `name` identifies it in the log, `id`, `until` and `failures` are columns of `table`."""

    name: str
    table: Any
    id: Any
    until: Any
    lease: timedelta
    failures: Any = None
    backoff: Backoff = Backoff()

    def is_expired(self) -> ColumnElement[bool]:
        """The row had a lease or a wait, and it is over."""
        condition: ColumnElement[bool] = self.until < func.now()
        return condition

    def is_free(self) -> ColumnElement[bool]:
        """The row has no lease and no wait, or it is over."""
        return or_(self.until.is_(None), self.is_expired())

    def lease_end(self, now: Any = None) -> Any:
        """The value of `until` for a lease that begins now, by the database's clock or by another one."""
        return (func.now() if now is None else now) + self.lease

    def lock(self, ready: Select[*tuple[Any, ...]], limit: int) -> Select[*tuple[Any, ...]]:
        """Restricts a query for ids to `limit` rows that no other transaction is claiming at the moment."""
        return ready.limit(limit).with_for_update(skip_locked=True, of=self.table)

    async def claim(
        self, ctx: Context, ready: Select[Any], limit: int, columns: Sequence[Any], **values: Any
    ) -> Sequence[Record]:
        """Claims up to `limit` rows of the query `ready`, which selects ids. Returns their `columns` as jobs."""
        async with ctx.transaction() as tx:
            return await self.claim_in(tx, self.lock(ready, limit), columns, **values)

    async def claim_in(
        self,
        tx: Transaction,
        ids: Any,
        columns: Sequence[Any],
        *conditions: ColumnElement[bool],
        now: Any = None,
        **values: Any,
    ) -> Sequence[Record]:
        """Claims the rows with these ids, a list or a query that has locked them. `now` is for a clock of its own.

        `columns` may be of other tables too, which `conditions` join.
        """
        claimed = self._update(
            (self.id.in_(ids), *conditions), {**values, self.until.key: self.lease_end(now)}, columns
        )
        return (await tx.execute(claimed)).all()

    async def renew(self, tx: Transaction, job: Record, *conditions: ColumnElement[bool]) -> datetime | None:
        """Extends the job's lease. Returns its new end, or None if the row is no longer the job."""
        renewed = self._update(self._is_job(job.id, conditions), {self.until.key: self.lease_end()}, [self.until])
        end: datetime | None = (await tx.execute(renewed)).scalar_one_or_none()
        return end

    @asynccontextmanager
    async def renewing(self, ctx: Context, job: Record, *conditions: ColumnElement[bool]) -> AsyncIterator[None]:
        """Renews the job's lease for the length of the block."""
        renewals = asyncio.create_task(self._renew_repeatedly(ctx, job, conditions))
        try:
            yield
        finally:
            renewals.cancel()
            with suppress(asyncio.CancelledError):
                await renewals

    async def postpone(
        self, ctx: Context, job: Record, error: Exception, *conditions: ColumnElement[bool], **values: Any
    ) -> bool:
        """Makes a failed job due again after its backoff. `values` are written along with it.

        Returns False after the last attempt: nothing is written then, and the caller gives the job up.
        """
        failures: int = getattr(job, self.failures.key)
        if self.backoff.is_last(failures):
            report_failure(f"{self.name}.given_up", error, id=str(job.id), attempts=failures + 1)
            return False
        wait = self.backoff.wait(failures, error)
        report_failure(f"{self.name}.postponed", error, id=str(job.id), seconds=wait.total_seconds())
        values |= {self.until.key: func.now() + wait, self.failures.key: min(failures + 1, MAX_FAILURES)}
        async with ctx.transaction() as tx:
            await tx.execute(self._update(self._is_job(job.id, conditions), values, [self.id]))
        return True

    async def release(
        self, tx: Transaction, job: Record, *conditions: ColumnElement[bool], **values: Any
    ) -> Record | None:
        """Ends the job's lease and writes `values`. Returns the row's id, or None if the row is no longer the job."""
        released = self._update(self._is_job(job.id, conditions), {**values, self.until.key: None}, [self.id])
        return (await tx.execute(released)).one_or_none()

    async def _renew_repeatedly(self, ctx: Context, job: Record, conditions: Sequence[ColumnElement[bool]]) -> None:
        while True:
            await asyncio.sleep(self.lease.total_seconds() / RENEWALS_PER_LEASE)
            try:
                async with ctx.transaction() as tx:
                    await self.renew(tx, job, *conditions)
            except Exception as error:  # noqa: BLE001 (the next renewal may succeed, and a lost lease does no harm)
                report_failure(f"{self.name}.renewal_failed", error, id=str(job.id))

    def _is_job(self, job_id: UUID, conditions: Sequence[ColumnElement[bool]]) -> Sequence[ColumnElement[bool]]:
        return self.id == job_id, *conditions

    def _update(self, where: Any, values: Mapping[str, Any], columns: Sequence[Any]) -> ReturningUpdate[Any]:
        conditions = where if isinstance(where, Sequence) else (where,)
        return update(self.table).where(*conditions).values(dict(values)).returning(*columns)
