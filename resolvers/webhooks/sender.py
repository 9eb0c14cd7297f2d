"""Posting webhooks: each is claimed, posted without a transaction or a connection held, and settled.

Whoever is killed in between has posted or not; the lease runs out and another posts it again: at least once, under the
same `webhook-id`.
"""

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy import select
from sqlmodel import col

from models import Delivery
from models.base import Record
from resolvers.core.context import Context
from resolvers.core.ports.webhook_client import EndpointUnreachable, WebhookResponse
from resolvers.webhooks import signatures
from resolvers.webhooks.outcomes import Outcome, settle
from resolvers.webhooks.queue import Busy, claim

log = structlog.get_logger()

AT_ONCE = 64
"""Posts at the same time, by one worker."""
CONSTANT = {"Content-Type": "application/json", "User-Agent": "Caret-Webhooks/1.0"}


class Sender:
    """The posts of one worker. Each is a task of `tasks`; `on_room` is called at its end: there may be more to take."""

    def __init__(self, ctx: Context, tasks: asyncio.TaskGroup, on_room: Callable[[], None]) -> None:
        self._ctx = ctx
        self._tasks = tasks
        self._on_room = on_room
        self._busy = Busy()

    async def send(self) -> int:
        """Starts to post what is due and has room. Returns how many were taken or put off: 0 when there is no more."""
        free = AT_ONCE - self._busy.endpoints.total()
        if not free:
            return 0
        claimed = await claim(self._ctx, free, self._busy)
        for job in claimed.jobs:
            self._busy.begin(job)
            self._tasks.create_task(self._attempt(job))
        return len(claimed.jobs) + claimed.put_off

    async def _attempt(self, job: Record) -> None:
        try:
            body = await _body(self._ctx, job)
            # None: deleted since it was claimed.
            if body is not None:
                await settle(self._ctx, job, await post(self._ctx, job, body))
        except Exception as error:  # noqa: BLE001 (the lease runs out, and it is tried again)
            log.warning("webhook.unsettled", delivery=str(job.id), error=str(error) or type(error).__name__)
        finally:
            self._busy.end(job)
            self._on_room()


async def _body(ctx: Context, job: Record) -> bytes | None:
    """Read by itself: a claim holds up all workers, and bodies may be long."""
    async with ctx.transaction() as tx:
        body: bytes | None = (
            await tx.execute(select(col(Delivery.body)).where(col(Delivery.id) == job.id))
        ).scalar_one_or_none()
    return body


async def post(ctx: Context, job: Record, body: bytes) -> Outcome:
    """One attempt. Never raises what the other side is to blame for."""
    now = ctx.clock()
    try:
        secrets = signatures.secrets_in_use(ctx.vault, job, now)
    except ValueError:
        return Outcome(error="The server can't open the secret of this webhook any more: rotate it.")
    headers = CONSTANT | signatures.signature_headers(secrets, job.event_id, now, body)
    try:
        answer = await ctx.webhook_client.post(job.url, headers, body)
    except EndpointUnreachable as error:
        return Outcome(headers, error=str(error))
    except Exception as error:  # noqa: BLE001 (an odd answer is a failure like any other: it is tried again, and ends)
        log.warning("webhook.misunderstood", delivery=str(job.id), error=str(error) or type(error).__name__)
        return Outcome(headers, error="The answer could not be understood.")
    return Outcome(headers, answer, _wrong(answer))


def _wrong(answer: WebhookResponse) -> str | None:
    if 200 <= answer.status < 300:
        return None
    redirect = " Redirects are not followed." if 300 <= answer.status < 400 else ""
    return f"The endpoint answered {answer.status}.{redirect}"
