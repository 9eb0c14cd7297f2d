"""What every embedder does to texts before, and to vectors after, its model."""

import numpy as np
from numpy.typing import NDArray

from resolvers.core.ports.ai import DIMENSIONS, EmbedderMisconfigured, Vector


def clean(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, valid Unicode, runs of white space and NULs made one space.

    White space is folded before the cut, and only the first 4 x `limit` characters are looked at: a text of any length
    costs the same.
    """
    head = text[: 4 * limit].replace("\0", " ")
    return " ".join(head.split())[:limit].encode("utf-8", "replace").decode()


def padded(rows: NDArray[np.float32]) -> list[Vector]:
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
