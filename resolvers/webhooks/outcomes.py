"""What becomes of a delivery after an attempt, and of an endpoint whose deliveries fail."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import delete, func, select, update
from sqlmodel import col

from models import Delivery, EventType, Webhook, WebhookPost
from models.base import Record
from models.webhook import DeliveryStatus
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.ports.webhook_client import WebhookResponse
from resolvers.events.log import publish
from resolvers.webhooks import backoff

log = structlog.get_logger()

AT_ONCE = 1_000
"""Old deliveries that one transaction deletes at most."""
OVER = {"status": DeliveryStatus.FAILED, "due_at": None}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one attempt. `error` is safe to show; None: it was delivered. Without an answer nobody was reached."""

    sent: dict[str, str] = field(default_factory=dict)
    answer: WebhookResponse | None = None
    error: str | None = None

    @property
    def told(self) -> dict[str, Any]:
        """The columns of the delivery that show the attempt."""
        answer = self.answer
        return {
            "request_headers": self.sent,
            "response_status": answer and answer.status,
            "response_headers": answer and dict(answer.headers),
            "response_body": answer and answer.body,
            "error": self.error,
        }


async def settle(ctx: Context, job: Record, outcome: Outcome) -> None:
    """Writes down what became of an attempt; where the answer can't be written, the verdict alone."""
    try:
        await _settle(ctx, job, outcome)
    except Exception as error:  # noqa: BLE001 (of strangers: whatever they answer, it must not stay open for ever)
        log.warning("webhook.unstorable", delivery=str(job.id), error=str(error) or type(error).__name__)
        await _settle(ctx, job, Outcome(outcome.sent, error=outcome.error))


async def _settle(ctx: Context, job: Record, outcome: Outcome) -> None:
    # The endpoint's row before the delivery's: in this order they go when an endpoint is deleted.
    async with ctx.transaction() as tx:
        if outcome.error is None:
            await _delivered(tx, job, outcome, ctx.clock())
        else:
            await _failed(tx, job, outcome, outcome.error, ctx.clock())


async def _delivered(tx: Transaction, job: Record, outcome: Outcome, now: datetime) -> None:
    await tx.execute(_posted_to(job).where(col(Webhook.failing_since).is_not(None)).values(failing_since=None))
    done = {"status": DeliveryStatus.DELIVERED, "delivered_at": now, "due_at": None}
    await tx.execute(_mine(job).values(**done, **outcome.told))


async def _failed(tx: Transaction, job: Record, outcome: Outcome, error: str, now: datetime) -> None:
    since = func.coalesce(col(Webhook.failing_since), job.attempted_at)
    failing = _posted_to(job).values(failing_since=since)
    hook = (await tx.execute(failing.returning(col(Webhook.failing_since), col(Webhook.is_active)))).one_or_none()
    answer = outcome.answer
    wait = backoff.next_wait(job.attempts, None if answer is None else backoff.requested_wait(answer, now))
    later = OVER if wait is None else {"due_at": now + wait}
    await tx.execute(_mine(job).where(col(Delivery.status) == DeliveryStatus.PENDING).values(**later, **outcome.told))
    log.info("webhook.failed", webhook=str(job.webhook_id), delivery=str(job.id), attempt=job.attempts, error=error)
    if hook is None:
        # Deleted meanwhile, and the delivery with it, or elsewhere by now.
        return
    if answer is not None and answer.status == backoff.GONE:
        await _disable(tx, job, hook, "The endpoint answered 410 Gone.")
    elif now - hook.failing_since >= backoff.DISABLE_AFTER:
        days = backoff.DISABLE_AFTER // timedelta(days=1)
        await _disable(tx, job, hook, f"Every delivery has failed for {days} days. The last time: {error}")


def _posted_to(job: Record) -> Any:
    """The endpoint, while it is where it was: another address has nothing to do with it."""
    return update(Webhook).where(col(Webhook.id) == job.webhook_id, col(Webhook.url) == job.url)


def _mine(job: Record) -> Any:
    """Unless somebody else has taken it since, or it was asked for anew."""
    attempt = (col(Delivery.attempts) == job.attempts, col(Delivery.attempted_at) == job.attempted_at)
    return update(Delivery).where(col(Delivery.id) == job.id, *attempt)


async def _disable(tx: Transaction, job: Record, hook: Record, reason: str) -> None:
    """Nothing more is posted there until somebody makes the endpoint active again."""
    if not hook.is_active:
        return
    off = {"is_active": False, "disabled_reason": reason, "updated_at": func.now()}
    await tx.execute(update(Webhook).where(col(Webhook.id) == job.webhook_id).values(off))
    waiting = (col(Delivery.webhook_id) == job.webhook_id, col(Delivery.status) == DeliveryStatus.PENDING)
    told = func.coalesce(col(Delivery.error), reason)
    await tx.execute(update(Delivery).where(*waiting).values(**OVER, error=told))
    log.warning("webhook.disabled", webhook=str(job.webhook_id), reason=reason)
    place = {"workspace_id": job.workspace_id, "note_id": None}
    await publish(tx, None, EventType.WEBHOOK_DISABLED, **place, webhook=str(job.webhook_id))


async def tidy(ctx: Context) -> int:
    """Ends what has waited too long for an endpoint that is not active and what was lost at its last attempt, and
    forgets what is over for long. Returns how many were forgotten."""
    now = ctx.clock()
    paused = (~col(Webhook.is_active), col(Webhook.updated_at) < now - backoff.MAX_PAUSE)
    off = select(col(Webhook.id)).where(*paused)
    expired = update(Delivery).where(col(Delivery.status) == DeliveryStatus.PENDING, col(Delivery.webhook_id).in_(off))
    used = (col(Delivery.attempts) >= backoff.MAX_ATTEMPTS, col(Delivery.due_at) <= now)
    lost = update(Delivery).where(col(Delivery.status) == DeliveryStatus.PENDING, *used)
    async with ctx.transaction() as tx:
        await tx.execute(expired.values(**OVER, error="The endpoint was not active."))
        await tx.execute(delete(WebhookPost).where(col(WebhookPost.posted_at) <= now - backoff.RATE_WINDOW))
        await tx.execute(lost.values(**OVER, error="The server was lost during the last attempt."))
    over = (col(Delivery.status) != DeliveryStatus.PENDING, col(Delivery.created_at) < now - backoff.RETENTION)
    oldest = select(col(Delivery.id)).where(*over).order_by(col(Delivery.created_at)).limit(AT_ONCE)
    async with ctx.transaction() as tx:
        return (await tx.execute(delete(Delivery).where(col(Delivery.id).in_(oldest)))).rowcount
