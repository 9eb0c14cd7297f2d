"""The local embedder, with its real model."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from caret.providers.minilm import MiniLM
from resolvers.core.ports.ai import DIMENSIONS, EmbedderMisconfigured, Vector


@pytest_asyncio.fixture(scope="module")
async def embedder() -> AsyncIterator[MiniLM]:
    minilm = MiniLM()
    yield minilm
    await minilm.aclose()


def cosine(a: Vector, b: Vector) -> float:
    return float(a @ b)


async def test_a_paraphrase_is_nearer_than_another_subject(embedder: MiniLM) -> None:
    question = await embedder.embed_query("When do we ship the new release?")
    same, other = await embedder.embed_passages(
        ["The launch of the next version is planned for Friday.", "The cafeteria serves lentil soup."]
    )
    assert cosine(question, same) > cosine(question, other) + 0.2


async def test_vectors_are_padded_to_the_column_and_of_unit_length(embedder: MiniLM) -> None:
    vector = await embedder.embed_query("Minutes of the meeting")
    assert vector.shape == (DIMENSIONS,)
    assert vector.dtype == np.float32
    assert not vector[384:].any()
    assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-5)


async def test_vectors_are_in_order_and_independent_of_their_batch(embedder: MiniLM) -> None:
    texts = [f"Point {number}: " + "we talk about budgets and plans. " * (number * 7 % 11) for number in range(20)]
    together = await embedder.embed_passages(texts)
    alone = [await embedder.embed_query(text) for text in texts]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


async def test_a_question_overtakes_bulk_indexing(embedder: MiniLM) -> None:
    await embedder.embed_query("loaded")
    finished: list[str] = []
    bulk = asyncio.ensure_future(embedder.embed_passages([f"Agenda item number {n} of the day" for n in range(200)]))
    bulk.add_done_callback(lambda _: finished.append("bulk"))
    await asyncio.sleep(0)
    for _ in range(3):
        await embedder.embed_query("What is on the agenda?")
        finished.append("query")
    assert len(await bulk) == 200
    assert finished == ["query", "query", "query", "bulk"]


async def test_a_question_does_not_even_wait_for_the_batch_at_hand(embedder: MiniLM) -> None:
    released = threading.Event()
    embedder._passages.submit(released.wait)
    bulk = asyncio.ensure_future(embedder.embed_passages(["one"]))
    try:
        await asyncio.wait_for(embedder.embed_query("What is on the agenda?"), 30)
        assert not bulk.done()
    finally:
        released.set()
    assert len(await bulk) == 1


async def test_two_bulk_calls_take_turns(embedder: MiniLM) -> None:
    finished: list[str] = []

    async def embed(name: str, count: int) -> None:
        await embedder.embed_passages([f"Item {n}" for n in range(count)])
        finished.append(name)

    await asyncio.gather(embed("long", 160), embed("short", 8))
    assert finished == ["short", "long"]


@pytest.mark.parametrize("text", ["", " \n\t", "\0", "a\ud800b", "x" * 500_000, " " * 500_000, "word " * 100_000, "😀"])
async def test_any_text_has_a_vector(embedder: MiniLM, text: str) -> None:
    vector = await asyncio.wait_for(embedder.embed_query(text), 30)
    assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-5)


async def test_nothing_to_embed(embedder: MiniLM) -> None:
    assert await embedder.embed_passages([]) == []


async def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not the model")
    embedder = MiniLM(tmp_path / "model.onnx")
    with pytest.raises(EmbedderMisconfigured, match="not the one"):
        await embedder.embed_query("hello")
    await embedder.aclose()
