"""Records the outcome of each attempt at a delivery, and disables endpoints whose deliveries keep failing."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import DBAPIError, StatementError
from sqlmodel import col

from models import Delivery, EventType, Webhook, WebhookPost
from models.base import Record
from models.webhook import DeliveryStatus
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.failures import report_failure
from resolvers.core.ports.webhook_client import EndpointResponse
from resolvers.core.retry import retry_outages
from resolvers.events.log import publish
from resolvers.webhooks import backoff

log = structlog.get_logger()

MAX_DELETED_AT_ONCE = 1_000
"""Old deliveries that one transaction deletes."""
RECORD_ATTEMPTS, RECORD_WAIT_SECONDS = 2, 0.5
"""An outcome is written again once: a pool timeout alone takes a quarter of the delivery's lease."""
FINISHED_AS_FAILED = {"status": DeliveryStatus.FAILED, "due_at": None}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one attempt.

    `error` is safe to show; None: it was delivered. `response` is None if the endpoint was not reached.
    """

    request_headers: dict[str, str] = field(default_factory=dict)
    response: EndpointResponse | None = None
    error: str | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of the delivery that describe its last attempt."""
        response = self.response
        return {
            "request_headers": self.request_headers,
            "response_status": response and response.status,
            "response_headers": response and dict(response.headers),
            "response_body": response and response.body,
            "error": self.error,
        }


async def record_outcome(ctx: Context, job: Record, outcome: Outcome) -> None:
    """Writes the outcome of an attempt, again after a short outage.

    If the response can't be stored, whether it was delivered is stored alone.
    """
    try:
        await retry_outages(
            "webhook.outcome",
            partial(_record, ctx, job, outcome),
            attempts=RECORD_ATTEMPTS,
            first_wait=RECORD_WAIT_SECONDS,
            longest_wait=RECORD_WAIT_SECONDS,
        )
    except StatementError as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise
        # Whatever an endpoint responds, its delivery must not stay pending for ever.
        report_failure("webhook.response_not_stored", error, delivery=str(job.id))
        await _record(ctx, job, Outcome(outcome.request_headers, error=outcome.error))


async def _record(ctx: Context, job: Record, outcome: Outcome) -> None:
    # The endpoint's row is locked before the delivery's, in the order in which deleting an endpoint locks them.
    async with ctx.transaction() as tx:
        if outcome.error is None:
            await _record_success(tx, job, outcome, ctx.clock())
        else:
            await _record_failure(tx, job, outcome, outcome.error, ctx.clock())


async def _record_success(tx: Transaction, job: Record, outcome: Outcome, now: datetime) -> None:
    await tx.execute(_update_endpoint(job).where(col(Webhook.failing_since).is_not(None)).values(failing_since=None))
    delivered = {"status": DeliveryStatus.DELIVERED, "delivered_at": now, "due_at": None}
    await tx.execute(_update_attempt(job).values(**delivered, **outcome.columns))


async def _record_failure(tx: Transaction, job: Record, outcome: Outcome, error: str, now: datetime) -> None:
    since = func.coalesce(col(Webhook.failing_since), job.attempted_at)
    failing = _update_endpoint(job).values(failing_since=since)
    hook = (await tx.execute(failing.returning(col(Webhook.failing_since), col(Webhook.is_active)))).one_or_none()
    response = outcome.response
    wait = backoff.next_wait(job.attempts, None if response is None else backoff.requested_wait(response, now))
    next_state = FINISHED_AS_FAILED if wait is None else {"due_at": now + wait}
    is_pending = col(Delivery.status) == DeliveryStatus.PENDING
    await tx.execute(_update_attempt(job).where(is_pending).values(**next_state, **outcome.columns))
    log.info("webhook.failed", webhook=str(job.webhook_id), delivery=str(job.id), attempt=job.attempts, error=error)
    if hook is None:
        # The endpoint, and the delivery with it, was deleted meanwhile, or the endpoint has another address now.
        return
    if response is not None and response.status == backoff.GONE:
        await _disable(tx, job, hook, "The endpoint answered 410 Gone.")
    elif now - hook.failing_since >= backoff.DISABLE_AFTER:
        days = backoff.DISABLE_AFTER // timedelta(days=1)
        await _disable(tx, job, hook, f"Every delivery has failed for {days} days. The last time: {error}")


def _update_endpoint(job: Record) -> Any:
    """An update of the endpoint while its address is the one of the attempt: a new address starts without failures."""
    return update(Webhook).where(col(Webhook.id) == job.webhook_id, col(Webhook.url) == job.url)


def _update_attempt(job: Record) -> Any:
    """An update of the delivery, unless another worker has claimed it since or it was redelivered."""
    same_attempt = (col(Delivery.attempts) == job.attempts, col(Delivery.attempted_at) == job.attempted_at)
    return update(Delivery).where(col(Delivery.id) == job.id, *same_attempt)


async def _disable(tx: Transaction, job: Record, hook: Record, reason: str) -> None:
    """Posts nothing more to the endpoint until a caller activates it again."""
    if not hook.is_active:
        return
    disabled = {"is_active": False, "disabled_reason": reason, "updated_at": func.now()}
    await tx.execute(update(Webhook).where(col(Webhook.id) == job.webhook_id).values(disabled))
    pending = (col(Delivery.webhook_id) == job.webhook_id, col(Delivery.status) == DeliveryStatus.PENDING)
    error = func.coalesce(col(Delivery.error), reason)
    await tx.execute(update(Delivery).where(*pending).values(**FINISHED_AS_FAILED, error=error))
    log.warning("webhook.disabled", webhook=str(job.webhook_id), reason=reason)
    ids: dict[str, Any] = {"workspace_id": job.workspace_id, "note_id": None}
    await publish(tx, None, EventType.WEBHOOK_DISABLED, **ids, webhook=str(job.webhook_id))


async def clean_up(ctx: Context) -> int:
    """Fails deliveries that nothing will send any more, and deletes old finished ones. Returns how many it deleted.

    Nothing will send what has waited too long for an endpoint that is not active, and what lost its worker during the
    last attempt.
    """
    now = ctx.clock()
    pending = col(Delivery.status) == DeliveryStatus.PENDING
    paused = select(col(Webhook.id)).where(~col(Webhook.is_active), col(Webhook.updated_at) < now - backoff.MAX_PAUSE)
    expired = update(Delivery).where(pending, col(Delivery.webhook_id).in_(paused))
    no_attempt_left = (col(Delivery.attempts) >= backoff.MAX_ATTEMPTS, col(Delivery.due_at) <= now)
    lost = update(Delivery).where(pending, *no_attempt_left)
    async with ctx.transaction() as tx:
        await tx.execute(expired.values(**FINISHED_AS_FAILED, error="The endpoint was not active."))
        await tx.execute(delete(WebhookPost).where(col(WebhookPost.posted_at) <= now - backoff.RATE_WINDOW))
        await tx.execute(lost.values(**FINISHED_AS_FAILED, error="The server was lost during the last attempt."))
    old = (col(Delivery.status) != DeliveryStatus.PENDING, col(Delivery.created_at) < now - backoff.RETENTION)
    oldest = select(col(Delivery.id)).where(*old).order_by(col(Delivery.created_at)).limit(MAX_DELETED_AT_ONCE)
    async with ctx.transaction() as tx:
        return (await tx.execute(delete(Delivery).where(col(Delivery.id).in_(oldest)))).rowcount
