"""The embedders that exist, and those that are in use while notes move from one to another."""

from contextlib import AsyncExitStack

from caret.providers import minilm, openai_embedder
from caret.providers.embedder import BuildEmbedder, ClosableEmbedder, EmbeddingOptions

EMBEDDERS: tuple[BuildEmbedder, ...] = (
    openai_embedder.build,
    minilm.build,
)
"""Every kind of embedder. The first that the settings choose makes the new vectors."""
MAX_EMBEDDERS = 8
"""Embedders that one process builds: each keeps its connections."""


class Embedders:
    """`current` makes all new vectors. Others are built when they are first needed: the local one, and other models of
    the configured server, which receives nothing that it does not receive anyway.

    ValueError, with one line for the operator, when the options contradict each other. Close it with `aclose()`.
    """

    def __init__(self, options: EmbeddingOptions) -> None:
        current = _build(options)
        if current is None:
            raise ValueError("no embedder fits the CARET_EMBEDDING_ settings")
        self.current = current
        self._options = options
        self._by_identity: dict[str, ClosableEmbedder] = {current.identity: current}

    def get(self, identity: str) -> ClosableEmbedder | None:
        if identity not in self._by_identity and len(self._by_identity) < MAX_EMBEDDERS:
            embedder = _build(self._options, identity)
            if embedder is not None:
                self._by_identity[identity] = embedder
        return self._by_identity.get(identity)

    async def aclose(self) -> None:
        async with AsyncExitStack() as stack:
            for embedder in self._by_identity.values():
                stack.push_async_callback(embedder.aclose)


def _build(options: EmbeddingOptions, identity: str | None = None) -> ClosableEmbedder | None:
    built = (build(options, identity) for build in EMBEDDERS)
    return next((embedder for embedder in built if embedder is not None), None)
