"""Asking the default model for a text, outside of any conversation."""

import asyncio

from resolvers.core.context import Context


async def generate_text(ctx: Context, instructions: str, prompt: str, seconds: float) -> str:
    """The model's text. Raises whatever went wrong, TimeoutError after so many seconds."""
    async with asyncio.timeout(seconds):
        return await ctx.agents.complete(ctx, ctx.models.default_id, instructions, prompt)
