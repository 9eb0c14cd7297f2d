"""When a delivery is posted again, and what ends that."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from random import SystemRandom

from resolvers.core.ports.webhook_client import WebhookResponse

RETRIES = (
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
"""How long after each failed attempt the next one is due, more or less by JITTER: about a day in all."""
MAX_ATTEMPTS = len(RETRIES) + 1
JITTER = 0.2
"""The part of a wait by which it is longer or shorter, so that what failed together is not posted together again."""
LONGEST_WISH = timedelta(hours=24)
"""The most that a receiver may ask to be left alone, with Retry-After."""
DEAD_AFTER = timedelta(days=3)
"""For how long every post to an endpoint must have failed before it is disabled."""
PAUSED_AT_MOST = timedelta(days=1)
"""For how long what is due is kept for an endpoint that is not active."""
MINUTE = timedelta(seconds=60)
"""The time in which a workspace has so many posts, by its plan."""
KEPT = timedelta(days=30)
"""For how long a delivery that is over stays in the log."""
GONE = 410
ASKS_TO_WAIT = (429, 503)
"""Statuses with which a Retry-After is heard."""

Chance = Callable[[float, float], float]
"""A number between two others."""
CHANCE: Chance = SystemRandom().uniform


def wait(attempts: int, wish: timedelta | None = None, chance: Chance = CHANCE) -> timedelta | None:
    """How long to wait after so many attempts, the last of which has failed; None where it was the last of all."""
    if attempts >= MAX_ATTEMPTS:
        return None
    usual = RETRIES[attempts - 1] * chance(1 - JITTER, 1 + JITTER)
    return usual if wish is None else max(usual, min(wish, LONGEST_WISH))


def wish(answer: WebhookResponse, now: datetime) -> timedelta | None:
    """How long the receiver asks to be left alone."""
    text = answer.headers.get("retry-after", "").strip()
    if answer.status not in ASKS_TO_WAIT or not text.isascii():
        return None
    if text.isdigit():
        return timedelta(seconds=int(text[:9]))
    try:
        moment = parsedate_to_datetime(text)
        # A date without a zone is in UTC (RFC 9110, 5.6.7).
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, OverflowError):
        return None
