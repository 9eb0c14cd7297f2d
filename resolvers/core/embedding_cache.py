"""Vectors that were made, but could not be stored yet."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from resolvers.core.ports.ai import Vector

MAX_SPARE = 2_000
"""Vectors that one process keeps for the next attempt at their notes, some 12 MB; the oldest go first."""


@dataclass(slots=True)
class EmbeddingCache:
    """Of one process. A workspace gets back only what was made for its own texts."""

    _kept: OrderedDict[tuple[UUID, bytes], Vector] = field(default_factory=OrderedDict)

    def keep(self, workspace_id: UUID, vectors: Mapping[bytes, Vector]) -> None:
        """Vectors by the fingerprints of their texts."""
        for fingerprint, vector in vectors.items():
            self._kept[workspace_id, fingerprint] = vector
        while len(self._kept) > MAX_SPARE:
            self._kept.popitem(last=False)

    def take(self, workspace_id: UUID, fingerprints: Iterable[bytes]) -> dict[bytes, Vector]:
        """Those of them that are kept; from now on they are the caller's."""
        found = {mark: self._kept.pop((workspace_id, mark), None) for mark in fingerprints}
        return {mark: vector for mark, vector in found.items() if vector is not None}
