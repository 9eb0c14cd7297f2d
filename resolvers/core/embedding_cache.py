"""A cache of vectors that were computed but could not be stored yet."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from cachetools import LRUCache

from models.limits import limit
from resolvers.core.ports.ai import Vector

MAX_CACHED_VECTORS = limit(
    2_000,
    "Vectors that a process caches for the next attempt at their notes (about 12 MB)",
    area="Search",
    beyond="the oldest are computed again",
)


class EmbeddingCache:
    """The vectors of one process, by workspace: a workspace gets only vectors of its own texts."""

    def __init__(self, size: int = MAX_CACHED_VECTORS) -> None:
        self._vectors: LRUCache[tuple[UUID, bytes], Vector] = LRUCache(maxsize=size)

    def put(self, workspace_id: UUID, vectors: Mapping[bytes, Vector]) -> None:
        """Caches vectors by the fingerprints of their texts."""
        for fingerprint, vector in vectors.items():
            self._vectors[workspace_id, fingerprint] = vector

    def pop(self, workspace_id: UUID, fingerprints: Iterable[bytes]) -> dict[bytes, Vector]:
        """Removes and returns the cached vectors among these fingerprints."""
        vectors = {mark: self._vectors.pop((workspace_id, mark), None) for mark in fingerprints}
        return {mark: vector for mark, vector in vectors.items() if vector is not None}
