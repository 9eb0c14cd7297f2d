"""Asking the default model for a text, outside of any conversation."""

import asyncio

from pydantic_ai import Agent

from models.base import mended
from resolvers.context import Context


async def written(ctx: Context, instructions: str, prompt: str, seconds: float) -> str:
    """The model's text. Raises whatever went wrong, TimeoutError after so many seconds.

    It is streamed, so that a slow model's answer does not count as silence.
    """
    model = ctx.models.model(ctx.models.default_id)
    async with asyncio.timeout(seconds):
        async with Agent(model, instructions=instructions).run_stream(prompt) as answer:
            return mended(await answer.get_output()).strip()
