"""Embedders that do what a test tells them to."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from resolvers.context import Context
from resolvers.intelligence import DIMENSIONS, Vector


@dataclass
class FakeEmbedder:
    """Equal texts are near, all others far. `failure` is raised; `held` keeps passages back until it is set."""

    identity: str = "fake"
    failure: Exception | None = None
    held: asyncio.Event | None = None
    passages: list[str] = field(default_factory=list)

    async def embed_query(self, text: str) -> Vector:
        if self.failure is not None:
            raise self.failure
        return vector(text)

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        self.passages += texts
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            raise self.failure
        return [vector(text) for text in texts]


def vector(text: str) -> Vector:
    chance = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))
    made = chance.standard_normal(DIMENSIONS).astype(np.float32)
    return made / np.linalg.norm(made)


def embedding_with(ctx: Context, embedder: FakeEmbedder) -> Context:
    return replace(ctx, embedder=embedder)
