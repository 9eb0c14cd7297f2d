"""Claims the deliveries to post next: those that are due, in the order of each note, within the plan's rate.

A claim is a lease: a delivery whose worker is lost is due again at its end. All workers claim under one lock, one after
the other, for these few statements: so the rate and the order hold across all of them.
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
from models.limits import limit
from models.webhook import DeliveryStatus
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.leases import LeaseQueue
from resolvers.webhooks.backoff import MAX_ATTEMPTS, RATE_WINDOW

LEASE = timedelta(seconds=60)
"""How long no other worker posts a claimed delivery."""
QUEUE = LeaseQueue("webhook_delivery", Delivery, id=col(Delivery.id), until=col(Delivery.due_at), lease=LEASE)
"""The time is that of `ctx.clock`, and the waits between attempts are those of `resolvers.webhooks.backoff`."""
MAX_POSTS_PER_ENDPOINT = limit(
    4, "Simultaneous posts of one worker to one webhook endpoint", area="Webhooks", beyond="the others wait"
)
MAX_POSTS_PER_WORKSPACE = limit(
    16, "Simultaneous posts of one worker for one workspace", area="Webhooks", beyond="the others wait"
)
CANDIDATES = 256
"""Due deliveries that one claim reads."""

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
    """`jobs` are rows of JOB; `postponed` counts the deliveries that were due but exceed their workspace's rate."""

    jobs: Sequence[Record] = ()
    postponed: int = 0


class ActivePosts:
    """The posts that one worker is making, counted by endpoint and by workspace."""

    def __init__(self, endpoints: Iterable[UUID] = (), workspaces: Iterable[UUID] = ()) -> None:
        self.endpoints = Counter(endpoints)
        self.workspaces = Counter(workspaces)

    def copy(self) -> "ActivePosts":
        return ActivePosts(self.endpoints.elements(), self.workspaces.elements())

    def has_room(self, row: Record) -> bool:
        """Whether the worker may post one more to the row's endpoint, for its workspace."""
        has_room_for_endpoint = self.endpoints[row.webhook_id] < MAX_POSTS_PER_ENDPOINT
        return has_room_for_endpoint and self.workspaces[row.workspace_id] < MAX_POSTS_PER_WORKSPACE

    def begin(self, row: Record) -> None:
        self.endpoints[row.webhook_id] += 1
        self.workspaces[row.workspace_id] += 1

    def end(self, row: Record) -> None:
        # Subtracting a counter drops what has come to zero, so the counters stay small.
        self.endpoints -= Counter([row.webhook_id])
        self.workspaces -= Counter([row.workspace_id])


async def claim(ctx: Context, free: int, active: ActivePosts) -> Claimed:
    """Claims up to `free` due deliveries that a worker with these active posts has room for."""
    async with ctx.transaction() as tx:
        await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("deliveries", 0))))
        # The clock is read under the lock: an earlier time would miss what others have posted meanwhile.
        now = ctx.clock()
        due = await _read_due(tx, now, active)
        if not due:
            return Claimed()
        rates = {row.workspace_id: Rate(ctx.limits.deliveries_per_minute[row.plan], now) for row in due}
        for row in await _count_posts(tx, now, list(rates)):
            rates[row.workspace_id].subtract(row.posts, row.first_posted_at)
        chosen, postponed = _choose(due, rates, free, active.copy())
        if postponed:
            delayed = update(Delivery).where(col(Delivery.id) == bindparam("delivery_id"))
            await tx.execute(delayed.values(due_at=bindparam("new_due_at")), postponed)
        return Claimed(await _lease(tx, chosen, now) if chosen else (), len(postponed))


class Rate:
    """How many posts a workspace may still make in this minute."""

    def __init__(self, allowed: int, now: datetime) -> None:
        self.allowed = allowed
        self.remaining = allowed
        self.resets_at = now + RATE_WINDOW
        self.postponed = 0

    def subtract(self, posts: int, first_posted_at: datetime) -> None:
        self.remaining -= posts
        self.resets_at = first_posted_at + RATE_WINDOW

    def next_slot(self) -> datetime:
        """When the next postponed delivery is due: they are spread over time at the rate, not due all at once."""
        slot = self.resets_at + RATE_WINDOW * (self.postponed / self.allowed)
        self.postponed += 1
        return slot


def _choose(
    due: Sequence[Record], rates: Mapping[UUID, Rate], free: int, active: ActivePosts
) -> tuple[list[UUID], list[dict[str, Any]]]:
    """The deliveries to claim, and those to postpone with their new due times."""
    chosen: list[UUID] = []
    postponed: list[dict[str, Any]] = []
    for row in due:
        rate = rates[row.workspace_id]
        if rate.remaining <= 0:
            postponed.append({"delivery_id": row.id, "new_due_at": rate.next_slot()})
        elif len(chosen) < free and active.has_room(row):
            chosen.append(row.id)
            rate.remaining -= 1
            active.begin(row)
    return chosen, postponed


async def _read_due(tx: Transaction, now: datetime, active: ActivePosts) -> Sequence[Record]:
    full_endpoints = [ident for ident, posts in active.endpoints.items() if posts >= MAX_POSTS_PER_ENDPOINT]
    full_workspaces = [ident for ident, posts in active.workspaces.items() if posts >= MAX_POSTS_PER_WORKSPACE]
    earlier = aliased(Delivery)
    # An earlier delivery that has failed holds up the later ones no longer: its endpoint may be down for hours.
    earlier_pending = (
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
    due = (
        select(col(Delivery.id), col(Delivery.workspace_id), col(Delivery.webhook_id), col(Workspace.plan))
        .join(Webhook, col(Webhook.id) == col(Delivery.webhook_id))
        .join(Workspace, col(Workspace.id) == col(Delivery.workspace_id))
        .where(col(Delivery.status) == DeliveryStatus.PENDING, col(Delivery.due_at) <= now, col(Webhook.is_active))
        .where(col(Delivery.webhook_id).not_in(full_endpoints), col(Delivery.workspace_id).not_in(full_workspaces))
        .where(~earlier_pending, col(Delivery.attempts) < MAX_ATTEMPTS)
        .order_by(col(Delivery.due_at), col(Delivery.seq))
    )
    return (await tx.execute(QUEUE.lock(due, CANDIDATES))).all()


async def _count_posts(tx: Transaction, now: datetime, workspaces: Sequence[UUID]) -> Sequence[Record]:
    """The number of posts of each workspace in the last minute, and the time of the first."""
    workspace_id, posted_at = col(WebhookPost.workspace_id), col(WebhookPost.posted_at)
    posts = select(workspace_id, func.count().label("posts"), func.min(posted_at).label("first_posted_at"))
    recent = posts.where(workspace_id.in_(workspaces), posted_at > now - RATE_WINDOW).group_by(workspace_id)
    return (await tx.execute(recent)).all()


async def _lease(tx: Transaction, ids: Sequence[UUID], now: datetime) -> Sequence[Record]:
    of_delivery = col(Webhook.id) == col(Delivery.webhook_id)
    attempt = {"attempts": col(Delivery.attempts) + 1, "attempted_at": now}
    jobs = await QUEUE.claim_in(tx, ids, JOB, of_delivery, now=now, **attempt)
    posts = [{"id": new_id(), "workspace_id": job.workspace_id, "posted_at": now} for job in jobs]
    if posts:
        await tx.execute(insert(WebhookPost), posts)
    return jobs
