"""When a delivery is attempted again, and when the server stops trying."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from random import SystemRandom

from models.limits import limit
from resolvers.core.ports.webhook_client import EndpointResponse

RETRY_WAITS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
    timedelta(hours=8),
    timedelta(hours=8),
)
"""The wait after each failed attempt, more or less by JITTER: about a day in all."""
MAX_ATTEMPTS = limit(
    len(RETRY_WAITS) + 1, "Attempts at a webhook delivery", area="Webhooks", beyond="the delivery is `failed`"
)
JITTER = 0.2
"""The part of a wait by which it is longer or shorter, so that what failed together is not posted together again."""
MAX_RETRY_AFTER_HOURS = limit(
    24, "The wait that an endpoint asks for with `Retry-After`", area="Webhooks", unit="hours", beyond="cut"
)
MAX_RETRY_AFTER = timedelta(hours=MAX_RETRY_AFTER_HOURS)
DISABLE_AFTER_DAYS = limit(
    3,
    "For how long every attempt at an endpoint may fail",
    area="Webhooks",
    unit="days",
    beyond="the endpoint is disabled",
)
DISABLE_AFTER = timedelta(days=DISABLE_AFTER_DAYS)
MAX_PAUSE_DAYS = limit(
    1,
    "How long due deliveries wait for an endpoint that is not active",
    area="Webhooks",
    unit="days",
    beyond="the deliveries are `failed`",
)
MAX_PAUSE = timedelta(days=MAX_PAUSE_DAYS)
RATE_WINDOW = timedelta(seconds=60)
"""The time in which a workspace may have as many attempts as its plan allows."""
RETENTION_DAYS = limit(
    30, "How long finished deliveries stay in the delivery log", area="Webhooks", unit="days", beyond="deleted"
)
RETENTION = timedelta(days=RETENTION_DAYS)
GONE = 410
"""The status with which an endpoint asks to be disabled."""
RETRY_AFTER_STATUSES = (429, 503)
"""The statuses with which `Retry-After` is honoured."""

Uniform = Callable[[float, float], float]
"""Returns a random number between two others."""
UNIFORM: Uniform = SystemRandom().uniform


def next_wait(attempts: int, retry_after: timedelta | None = None, uniform: Uniform = UNIFORM) -> timedelta | None:
    """How long to wait after so many attempts, the last of which failed. None if no attempt is left."""
    if attempts >= MAX_ATTEMPTS:
        return None
    usual = RETRY_WAITS[attempts - 1] * uniform(1 - JITTER, 1 + JITTER)
    return usual if retry_after is None else max(usual, min(retry_after, MAX_RETRY_AFTER))


def requested_wait(response: EndpointResponse, now: datetime) -> timedelta | None:
    """The wait that the endpoint asks for with `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3)."""
    text = response.headers.get("retry-after", "").strip()
    if response.status not in RETRY_AFTER_STATUSES or not text.isascii():
        return None
    if text.isdigit():
        return timedelta(seconds=int(text[:9]))
    try:
        moment = parsedate_to_datetime(text)
        # A date without a zone is in UTC (RFC 9110, 5.6.7).
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, OverflowError):
        return None
