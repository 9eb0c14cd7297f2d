"""What every embedder does to vectors after its model. Imports numpy: load it when the first vector is made."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resolvers.core.ports.ai import DIMENSIONS, EmbedderMisconfigured, Vector


def from_lists(rows: Sequence[Sequence[float]]) -> list[Vector]:
    """The same as `normalize` for lists of numbers. Raises ValueError when they are not numbers of equal count."""
    return normalize(np.array(rows, np.float32).reshape(len(rows), -1))


def normalize(rows: NDArray[np.float32]) -> list[Vector]:
    """Rows of shape (n, width <= DIMENSIONS) made unit length and padded with zeros to DIMENSIONS.

    Raises EmbedderMisconfigured for wider rows, and for rows without a direction (zero, NaN, infinite).
    """
    count, width = rows.shape
    if width > DIMENSIONS:
        raise EmbedderMisconfigured(
            f"The embedding model returns vectors of {width} numbers, and at most {DIMENSIONS} can be stored: "
            "choose a smaller model."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise EmbedderMisconfigured("The embedding model returned a vector without a direction (all zeros, or NaN).")
    vectors = np.zeros((count, DIMENSIONS), np.float32)
    vectors[:, :width] = rows / lengths
    return list(vectors)
