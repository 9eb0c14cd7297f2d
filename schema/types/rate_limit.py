"""What the caller may still spend."""

from datetime import UTC, datetime

import strawberry

from resolvers.core import rate_limit as limits
from schema.types.base import Info


@strawberry.type(description="Of any 60 seconds, in points; README.md says what costs what.")
class RateLimit:
    limit: int
    remaining: int
    reset_at: datetime = strawberry.field(description="When there is more to be had than `remaining`.")


@strawberry.type
class RateLimitQuery:
    @strawberry.field(description="The caller's allowance after this operation was paid for.")
    @staticmethod
    async def rate_limit(info: Info) -> RateLimit:
        left = await limits.remaining_allowance(info.context.ctx)
        reset_at = datetime.fromtimestamp(left.reset_at, UTC)
        return RateLimit(limit=left.limit, remaining=left.remaining, reset_at=reset_at)
