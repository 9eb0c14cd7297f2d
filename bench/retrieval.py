"""What the search finds: questions and their passages from the docstrings of the standard library."""

import asyncio
import sys
from itertools import islice
from typing import Any

import numpy as np

from bench.docstrings import Pair, pairs
from bench.ranking import DEPTH, bm25, ranks, report
from bench.stage import CREATE, Stage, gathered, waiting, workspace
from caret.providers.minilm import MiniLM
from tests.support.clients import Caller

PAIRS = 500
INDEX = "mutation($id: ID!, $text: String!) { indexNote(noteId: $id, content: $text) { chunksIndexed } }"
SEARCH = """query($q: String!, $mode: SearchMode!) {
  search(query: $q, first: 20, mode: $mode) { note { id } chunkIndex score }
}"""
MODES = ("TEXT", "SEMANTIC", "HYBRID")


async def run(stage: Stage) -> None:
    """First sentences of docstrings as questions, the rest of each as a note: whose notes are found, and how high."""
    chosen = pairs(PAIRS)
    length = sum(len(pair.passage) for pair in chosen) // len(chosen)
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"  {len(chosen)} pairs of Python {version}; passages of {length} characters", flush=True)
    questions, passages = [pair.question for pair in chosen], [pair.passage for pair in chosen]
    best = report("BM25, whole passages", ranks(bm25(questions, passages)))
    best = max(best, report("the model alone, whole passages", ranks(await alone(questions, passages))))
    _, caller = await workspace(stage, "Docstrings")
    ids = await gathered(lambda index: write(caller, chosen[index]), len(chosen))
    while await waiting(stage.database):
        await asyncio.sleep(0.2)
    for mode in MODES:
        score = report(mode, [await rank(caller, mode, *pair) for pair in zip(questions, ids, strict=True)])
    print(f"  HYBRID is {'better' if score > best else 'NOT better'} than both: {score - best:+.3f}")
    await caller.close()


async def alone(questions: list[str], passages: list[str]) -> Any:
    """The cosines of the model that is built in."""
    model = MiniLM()
    try:
        embedded = np.array([await model.embed_query(question) for question in questions], float)
        return embedded @ np.array(await model.embed_passages(passages), float).T
    finally:
        await model.aclose()


async def write(caller: Caller, pair: Pair) -> str:
    note_id = str((await caller.data(CREATE, input={"title": "Docstring"}))["createNote"]["id"])
    # Handed in, so that it is indexed without a title: the plain rankings have none either.
    await caller.data(INDEX, id=note_id, text=pair.passage)
    return note_id


async def rank(caller: Caller, mode: str, question: str, note_id: str) -> int | None:
    """The rank of a note among the notes that were found; None below the tenth."""
    hits = (await caller.data(SEARCH, q=question, mode=mode))["search"]
    notes = islice(dict.fromkeys(hit["note"]["id"] for hit in hits), DEPTH)
    return next((position for position, hit in enumerate(notes, 1) if hit == note_id), None)
