"""What rankings are measured by, and the plain ones that the product's are measured against."""

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

K1, B = 1.2, 0.75
"""The usual constants of BM25."""
DEPTH = 10


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def bm25(questions: Sequence[str], passages: Sequence[str]) -> NDArray[np.float64]:
    """The score of each passage for each question (Robertson and Zaragoza 2009), over lower-cased words."""
    counted = [Counter(words(passage)) for passage in passages]
    lengths = np.array([count.total() for count in counted], float)
    known = Counter(word for count in counted for word in count)
    scores = np.zeros((len(questions), len(passages)))
    for row, question in enumerate(questions):
        for word in set(words(question)) & known.keys():
            times = np.array([count[word] for count in counted], float)
            rarity = math.log(1 + (len(passages) - known[word] + 0.5) / (known[word] + 0.5))
            scores[row] += rarity * times * (K1 + 1) / (times + K1 * (1 - B + B * lengths / lengths.mean()))
    return scores


def ranks(scores: NDArray[np.float64]) -> list[int | None]:
    """The rank, from 1, of each question's own passage."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return [int(np.flatnonzero(order[row] == row)[0]) + 1 for row in range(len(scores))]


def report(name: str, positions: Sequence[int | None]) -> float:
    """Prints MRR@10 and recall@10 of the ranks, None for what was not found; returns the former."""
    near = [rank for rank in positions if rank is not None and rank <= DEPTH]
    mrr, recall = sum(1 / rank for rank in near) / len(positions), len(near) / len(positions)
    print(f"  {name:<46} MRR@10 {mrr:.3f}   recall@10 {recall:.3f}")
    return mrr
