"""A model's text, outside of any conversation."""

from pydantic_ai import Agent

from models.base import mended
from resolvers.agents.retries import attempted
from resolvers.core.context import Context
from resolvers.core.ports.ai import text_listener


async def _unheard(*_pieces: str) -> None: ...


async def complete(ctx: Context, model_id: str, instructions: str, prompt: str) -> str:
    """The text of this very model: what asks for it can do without, or comes back later. Raises AnswerFailed."""

    async def attempt(model_id: str) -> str:
        return (await Agent(ctx.models.model(model_id), instructions=instructions).run(prompt)).output

    # Somebody listens, so that the answer is streamed: a slow one does not count as silence then.
    listening = text_listener.set(_unheard)
    try:
        text = await attempted((model_id,), lambda: True, attempt)
    finally:
        text_listener.reset(listening)
    return mended(text).strip()
