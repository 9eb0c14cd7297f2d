"""Sizes and times that a deployment may change through its settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from models import Plan

POINTS_PER_MINUTE = {Plan.FREE: 60, Plan.PRO: 120, Plan.ENTERPRISE: 300}
"""Points that one caller may spend in any 60 seconds: one API key, or one person in one workspace."""
DELIVERIES_PER_MINUTE = {Plan.FREE: 20, Plan.PRO: 40, Plan.ENTERPRISE: 100}
"""Webhook requests of one workspace in any 60 seconds. Further deliveries wait."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and times that a deployment may change through its settings.

    `points_per_minute`: what one caller may spend in 60 seconds, by plan. `tokens_per_minute`: what the replies of a
    workspace may use; 0 means no limit. `replies_per_user` counts a user's replies in each workspace separately.
    `deliveries_per_minute`: webhook requests of a workspace in 60 seconds, by plan. `webhooks_allow_local` admits
    endpoints with http and on loopback.
    """

    chunk_size: int = 512
    chunk_overlap: int = 64
    passages: int = 5
    reply_lease: timedelta = timedelta(seconds=30)
    reply_poll_seconds: float = 5.0
    stall_timeout_seconds: float = 30.0
    event_retention: timedelta = timedelta(days=30)
    connections_per_caller: int = 100
    replies_per_user: int = 20
    replies_per_workspace: int = 200
    tokens_per_minute: int = 1_000_000
    points_per_minute: Mapping[Plan, int] = field(default_factory=lambda: POINTS_PER_MINUTE)
    deliveries_per_minute: Mapping[Plan, int] = field(default_factory=lambda: DELIVERIES_PER_MINUTE)
    webhooks_allow_local: bool = False
