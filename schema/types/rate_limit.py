"""The caller's rate limit."""

from datetime import UTC, datetime

import strawberry

from resolvers.core import rate_limit as limits
from schema.types.base import Info


@strawberry.type(
    description="The points that the caller may spend in 60 seconds. docs/rate-limits.md explains what an operation "
    "costs."
)
class RateLimit:
    limit: int
    remaining: int
    reset_at: datetime = strawberry.field(description="When `remaining` next grows.")


@strawberry.type
class RateLimitQuery:
    @strawberry.field(description="The caller's rate limit, after the cost of this operation.")
    @staticmethod
    async def rate_limit(info: Info) -> RateLimit:
        left = await limits.remaining_allowance(info.context.ctx)
        reset_at = datetime.fromtimestamp(left.reset_at, UTC)
        return RateLimit(limit=left.limit, remaining=left.remaining, reset_at=reset_at)
