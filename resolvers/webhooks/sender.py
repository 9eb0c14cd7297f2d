"""Posts webhooks: a delivery is claimed, posted while no database connection is held, and its outcome is recorded.

A worker that is killed in between leaves its lease to run out, and another worker posts again: at least once, always
under the same `webhook-id`.
"""

import asyncio
from collections.abc import Callable

from sqlalchemy import select
from sqlmodel import col

from models import Delivery
from models.base import Record
from models.limits import limit
from resolvers.core.context import Context
from resolvers.core.failures import report_failure
from resolvers.core.ports.webhook_client import EndpointResponse, EndpointUnreachable
from resolvers.webhooks import signatures
from resolvers.webhooks.outcomes import Outcome, record_outcome
from resolvers.webhooks.queue import ActivePosts, claim

MAX_POSTS_PER_WORKER = limit(64, "Simultaneous posts of one worker", area="Webhooks", beyond="the others wait")
FIXED_HEADERS = {"Content-Type": "application/json", "User-Agent": "Caret-Webhooks/1.0"}


class Sender:
    """The posts of one worker.

    Each post is a task of `tasks`. At its end `on_room` is called, as there is room to claim another.
    """

    def __init__(self, ctx: Context, tasks: asyncio.TaskGroup, on_room: Callable[[], None]) -> None:
        self._ctx = ctx
        self._tasks = tasks
        self._on_room = on_room
        self._active = ActivePosts()

    async def send(self) -> int:
        """Starts to post what is due and has room. Returns how many were claimed or postponed; 0: there is no more."""
        free = MAX_POSTS_PER_WORKER - self._active.endpoints.total()
        if not free:
            return 0
        claimed = await claim(self._ctx, free, self._active)
        for job in claimed.jobs:
            self._active.begin(job)
            self._tasks.create_task(self._attempt(job))
        return len(claimed.jobs) + claimed.postponed

    async def _attempt(self, job: Record) -> None:
        try:
            body = await _read_body(self._ctx, job)
            # It is None if the delivery was deleted since it was claimed.
            if body is not None:
                await record_outcome(self._ctx, job, await post(self._ctx, job, body))
        except Exception as error:  # noqa: BLE001 (the lease runs out, and another attempt is made)
            report_failure("webhook.outcome_not_recorded", error, delivery=str(job.id))
        finally:
            self._active.end(job)
            self._on_room()


async def _read_body(ctx: Context, job: Record) -> bytes | None:
    """The body, which the claim leaves out: a claim holds up all workers, and bodies may be long."""
    query = select(col(Delivery.body)).where(col(Delivery.id) == job.id)
    async with ctx.transaction() as tx:
        body: bytes | None = (await tx.execute(query)).scalar_one_or_none()
    return body


async def post(ctx: Context, job: Record, body: bytes) -> Outcome:
    """Makes one attempt. Whatever the endpoint does is an outcome, not an exception."""
    now = ctx.clock()
    try:
        secrets = signatures.secrets_in_use(ctx.vault, job, now)
    except ValueError:
        return Outcome(error="The server can't open the secret of this webhook any more: rotate it.")
    headers = FIXED_HEADERS | signatures.signature_headers(secrets, job.event_id, now, body)
    try:
        response = await ctx.webhook_client.post(job.url, headers, body)
    except EndpointUnreachable as error:
        return Outcome(headers, error=str(error))
    except Exception as error:  # noqa: BLE001 (a failed attempt like any other: the delivery must not stay pending)
        report_failure("webhook.response_not_understood", error, delivery=str(job.id))
        return Outcome(headers, error="The answer could not be understood.")
    return Outcome(headers, response, _failure(response))


def _failure(response: EndpointResponse) -> str | None:
    """Why the response is a failure; None if it acknowledges the delivery."""
    if 200 <= response.status < 300:
        return None
    redirect = " Redirects are not followed." if 300 <= response.status < 400 else ""
    return f"The endpoint answered {response.status}.{redirect}"
