"""Embedders that do what a test tells them to."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from resolvers.core.context import Context
from resolvers.core.ports.ai import DIMENSIONS, Vector


@dataclass
class FakeEmbedder:
    """Equal texts are near, all others far. `failure` is raised; `held` keeps passages back until it is set; texts with
    a word of `refuses` get no vector."""

    identity: str = "fake"
    failure: Exception | None = None
    held: asyncio.Event | None = None
    passages: list[str] = field(default_factory=list)
    refuses: Sequence[str] = ()

    async def embed_query(self, text: str) -> Vector:
        if self.failure is not None:
            raise self.failure
        return vector(text)

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector | None]:
        self.passages += texts
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            raise self.failure
        return [None if any(word in text for word in self.refuses) else vector(text) for text in texts]


def vector(text: str) -> Vector:
    chance = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))
    vector_of_text = chance.standard_normal(DIMENSIONS).astype(np.float32)
    return vector_of_text / np.linalg.norm(vector_of_text)


@dataclass(frozen=True)
class FakeEmbedders:
    """All that can be asked."""

    known: Sequence[FakeEmbedder]

    def get(self, identity: str) -> FakeEmbedder | None:
        return next((embedder for embedder in self.known if embedder.identity == identity), None)


def embedding_with(ctx: Context, embedder: FakeEmbedder, *others: FakeEmbedder) -> Context:
    """`others`: those whose vectors may be asked as well."""
    return replace(ctx, embedder=embedder, embedders=FakeEmbedders((embedder, *others)))
