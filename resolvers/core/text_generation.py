"""Texts by the default model, outside of any conversation."""

import asyncio

from resolvers.core.context import Context


async def generate_text(ctx: Context, instructions: str, prompt: str, timeout_seconds: float) -> str:
    """The model's text. Raises whatever its provider raises, and TimeoutError after `timeout_seconds`."""
    async with asyncio.timeout(timeout_seconds):
        return await ctx.agents.complete(ctx, ctx.models.default_id, instructions, prompt)
