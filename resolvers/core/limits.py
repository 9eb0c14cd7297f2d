"""Sizes and times that a deployment may change through its settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from models import Plan
from models.limits import limit

DELIVERIES_PER_MINUTE = {
    plan: limit(
        requests,
        f"Webhook requests of a workspace in 60 seconds on the {plan.value} plan",
        area="Webhooks",
        beyond="they wait",
    )
    for plan, requests in ((Plan.FREE, 20), (Plan.PRO, 40), (Plan.ENTERPRISE, 100))
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and times that a deployment may change through its settings. `caret.settings` has their defaults.

    `points_per_minute`: what one caller may spend in 60 seconds, by plan. `tokens_per_minute`: what the replies of a
    workspace may use; 0 means no limit. `replies_per_user` counts a user's replies in each workspace separately.
    `deliveries_per_minute`: webhook requests of a workspace in 60 seconds, by plan. `webhooks_allow_local` admits
    endpoints with http and on loopback.
    """

    chunk_size: int
    chunk_overlap: int
    stall_timeout_seconds: float
    event_retention: timedelta
    connections_per_caller: int
    replies_per_user: int
    replies_per_workspace: int
    tokens_per_minute: int
    points_per_minute: Mapping[Plan, int]
    webhooks_allow_local: bool
    passages: int = 5
    reply_poll_seconds: float = 5.0
    deliveries_per_minute: Mapping[Plan, int] = field(default_factory=lambda: DELIVERIES_PER_MINUTE)
