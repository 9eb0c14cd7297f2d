"""The agents, loaded after the start: their libraries take seconds to import, and a server is ready without them."""

import asyncio
from importlib import import_module
from types import ModuleType

from caret.providers import Catalogue
from resolvers.core.context import Context
from resolvers.core.ports.agents import ReplyRequest, ReplySink


class LaterAgents:
    """`resolvers.agents`, imported in a thread at the first use or when there is time for it."""

    def __init__(self, models: Catalogue) -> None:
        self._models = models
        self._loading: asyncio.Future[ModuleType] | None = None

    def preload(self) -> None:
        self._load()

    async def answer(self, request: ReplyRequest, sink: ReplySink) -> None:
        agents = await self._load()
        await agents.answer(request, sink)

    async def complete(self, ctx: Context, model_id: str, instructions: str, prompt: str) -> str:
        agents = await self._load()
        text: str = await agents.complete(ctx, model_id, instructions, prompt)
        return text

    def _import(self) -> ModuleType:
        # The default model needs libraries of its own.
        self._models.warm()
        return import_module("resolvers.agents")

    def _load(self) -> asyncio.Future[ModuleType]:
        if self._loading is None:
            self._loading = asyncio.ensure_future(asyncio.to_thread(self._import))
        # Whoever waits may be cancelled; the others wait on.
        return asyncio.shield(self._loading)
