"""The agents, imported after the start: their libraries take seconds, and a server is ready without them."""

from caret.lazy import LazyModule
from caret.providers import Catalogue
from resolvers.core.context import Context
from resolvers.core.ports.agents import ReplyRequest, ReplySink


class LazyAgents:
    """`resolvers.agents` and the default model, loaded in a thread at the first use, or earlier by `preload`."""

    def __init__(self, models: Catalogue) -> None:
        self._agents = LazyModule("resolvers.agents", before=models.preload)

    def preload(self) -> None:
        self._agents.preload()

    async def answer(self, request: ReplyRequest, sink: ReplySink) -> None:
        agents = await self._agents.load()
        await agents.answer(request, sink)

    async def complete(self, ctx: Context, model_id: str, instructions: str, prompt: str) -> str:
        agents = await self._agents.load()
        text: str = await agents.complete(ctx, model_id, instructions, prompt)
        return text
