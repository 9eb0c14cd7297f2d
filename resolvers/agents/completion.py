"""A model's text outside of any conversation."""

from pydantic_ai import Agent

from models.base import strip_unstorable
from resolvers.agents.retries import try_models
from resolvers.core.context import Context
from resolvers.core.ports.ai import text_listener


async def complete(ctx: Context, model_id: str, instructions: str, prompt: str) -> str:
    """Returns the text of this model; no other one is tried. Raises AgentFailed."""

    async def attempt(model_id: str) -> str:
        return (await Agent(ctx.models.model(model_id), instructions=instructions).run(prompt)).output

    # With a listener the answer is streamed, so that a slow one does not count as silence.
    token = text_listener.set(_ignore)
    try:
        text = await try_models((model_id,), lambda: True, attempt)
    finally:
        text_listener.reset(token)
    return strip_unstorable(text).strip()


async def _ignore(*_pieces: str) -> None: ...
