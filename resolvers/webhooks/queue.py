"""Which deliveries are posted next: what is due, in the order of each note, within the plan's rate.

A claim is a lease: a delivery whose worker is lost meanwhile is due again at its end. Claims are made one after the
other, under a lock that all workers share for these few statements: so rate and order hold across all of them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import aliased
from sqlmodel import col

from models import Delivery, Webhook, WebhookPost, Workspace
from models.base import Record, new_id
from models.webhook import DeliveryStatus
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.webhooks.backoff import MAX_ATTEMPTS, RATE_WINDOW

LEASE = timedelta(seconds=60)
"""For how long nobody else posts what is being posted."""
PER_ENDPOINT = 4
"""Posts to one endpoint at the same time, by one worker."""
PER_WORKSPACE = 16
"""Posts of one workspace at the same time, by one worker: however many of its endpoints are slow, others have room."""
LOOKED_AT = 256
"""Deliveries that one claim looks at."""

JOB = (
    col(Delivery.id),
    col(Delivery.workspace_id),
    col(Delivery.webhook_id),
    col(Delivery.event_id),
    col(Delivery.attempts),
    col(Delivery.attempted_at),
    col(Webhook.url),
    col(Webhook.secret),
    col(Webhook.previous_secret),
    col(Webhook.previous_until),
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """`jobs` are rows of JOB; `put_off` is how many were found that exceed the rate of their workspace."""

    jobs: Sequence[Record] = ()
    put_off: int = 0


class Busy:
    """The posts that one worker is at, by endpoint and by workspace."""

    def __init__(self, endpoints: Iterable[UUID] = (), workspaces: Iterable[UUID] = ()) -> None:
        self.endpoints = Counter(endpoints)
        self.workspaces = Counter(workspaces)

    def copy(self) -> "Busy":
        return Busy(self.endpoints.elements(), self.workspaces.elements())

    def has_room(self, row: Record) -> bool:
        return self.endpoints[row.webhook_id] < PER_ENDPOINT and self.workspaces[row.workspace_id] < PER_WORKSPACE

    def begin(self, row: Record) -> None:
        self.endpoints[row.webhook_id] += 1
        self.workspaces[row.workspace_id] += 1

    def end(self, row: Record) -> None:
        # Which drops what has come to nothing.
        self.endpoints -= Counter([row.webhook_id])
        self.workspaces -= Counter([row.workspace_id])


async def claim(ctx: Context, free: int, busy: Busy) -> Claimed:
    """Takes up to `free` deliveries that are due and for which a worker that is `busy` so has room, for the length of a
    lease."""
    async with ctx.transaction() as tx:
        await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("deliveries", 0))))
        # Not before: who waited for the lock would not see what others have posted meanwhile.
        now = ctx.clock()
        due = await _due(tx, now, busy)
        if not due:
            return Claimed()
        rates = {row.workspace_id: Rate(ctx.limits.deliveries_per_minute[row.plan], now) for row in due}
        for row in await _spent(tx, now, list(rates)):
            rates[row.workspace_id].count(row.spent, row.first)
        taken, later = _choose(due, rates, free, busy.copy())
        if later:
            moved = update(Delivery).where(col(Delivery.id) == bindparam("late")).values(due_at=bindparam("then"))
            await tx.execute(moved, later)
        return Claimed(await _take(tx, taken, now) if taken else (), len(later))


class Rate:
    """What a workspace may still have posted in this minute."""

    def __init__(self, allowed: int, now: datetime) -> None:
        self.allowed = allowed
        self.left = allowed
        self.frees_at = now + RATE_WINDOW
        self.late = 0

    def count(self, spent: int, first: datetime) -> None:
        self.left -= spent
        self.frees_at = first + RATE_WINDOW

    def next_turn(self) -> datetime:
        """One after the other, as fast as the rate is: not all of them at once when there is room for one."""
        turn = self.frees_at + RATE_WINDOW * (self.late / self.allowed)
        self.late += 1
        return turn


def _choose(
    due: Sequence[Record], rates: Mapping[UUID, Rate], free: int, busy: Busy
) -> tuple[list[UUID], list[dict[str, Any]]]:
    """Which to take, and which are put off until when."""
    taken: list[UUID] = []
    later: list[dict[str, Any]] = []
    for row in due:
        rate = rates[row.workspace_id]
        if rate.left <= 0:
            later.append({"late": row.id, "then": rate.next_turn()})
        elif len(taken) < free and busy.has_room(row):
            taken.append(row.id)
            rate.left -= 1
            busy.begin(row)
    return taken, later


async def _due(tx: Transaction, now: datetime, busy: Busy) -> Sequence[Record]:
    full = [webhook_id for webhook_id, posts in busy.endpoints.items() if posts >= PER_ENDPOINT]
    busiest = [workspace_id for workspace_id, posts in busy.workspaces.items() if posts >= PER_WORKSPACE]
    earlier = aliased(Delivery)
    # One that has failed keeps the others waiting no longer: its endpoint is in trouble, and may be for hours.
    first = (
        select(col(earlier.id))
        .where(
            col(earlier.webhook_id) == col(Delivery.webhook_id),
            col(earlier.note_id) == col(Delivery.note_id),
            col(earlier.seq) < col(Delivery.seq),
            col(earlier.status) == DeliveryStatus.PENDING,
            col(earlier.error).is_(None),
        )
        .exists()
    )
    waiting = (
        select(col(Delivery.id), col(Delivery.workspace_id), col(Delivery.webhook_id), col(Workspace.plan))
        .join(Webhook, col(Webhook.id) == col(Delivery.webhook_id))
        .join(Workspace, col(Workspace.id) == col(Delivery.workspace_id))
        .where(col(Delivery.status) == DeliveryStatus.PENDING, col(Delivery.due_at) <= now, col(Webhook.is_active))
        .where(col(Delivery.webhook_id).not_in(full), col(Delivery.workspace_id).not_in(busiest))
        .where(~first, col(Delivery.attempts) < MAX_ATTEMPTS)
        .order_by(col(Delivery.due_at), col(Delivery.seq))
        .limit(LOOKED_AT)
        .with_for_update(skip_locked=True, of=Delivery)
    )
    return (await tx.execute(waiting)).all()


async def _spent(tx: Transaction, now: datetime, workspaces: Sequence[UUID]) -> Sequence[Record]:
    """What was posted in the minute before."""
    place, moment = col(WebhookPost.workspace_id), col(WebhookPost.posted_at)
    posts = select(place, func.count().label("spent"), func.min(moment).label("first"))
    late = posts.where(place.in_(workspaces), moment > now - RATE_WINDOW).group_by(place)
    return (await tx.execute(late)).all()


async def _take(tx: Transaction, ids: Sequence[UUID], now: datetime) -> Sequence[Record]:
    taken = (
        update(Delivery)
        .where(col(Delivery.id).in_(ids), col(Webhook.id) == col(Delivery.webhook_id))
        .values(attempts=col(Delivery.attempts) + 1, attempted_at=now, due_at=now + LEASE)
        .returning(*JOB)
    )
    jobs = (await tx.execute(taken)).all()
    posts = [{"id": new_id(), "workspace_id": job.workspace_id, "posted_at": now} for job in jobs]
    if posts:
        await tx.execute(insert(WebhookPost), posts)
    return jobs
