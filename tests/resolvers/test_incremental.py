"""Which texts are embedded when a note is indexed again, and that the others keep their vectors."""

import asyncio
import random
from collections.abc import Sequence

import numpy as np
import pytest
from sqlalchemy import select, text, update
from sqlmodel import col

from caret import worker
from models import DocumentEmbedding, Note
from models.base import Record
from models.search import SearchMode, TextSource
from resolvers import notes
from resolvers.core.context import Context
from resolvers.core.ports.ai import EmbedderUnavailable, Vector
from resolvers.search import indexing
from resolvers.search.indexing import EMBEDDER_BATCH_SIZE
from resolvers.search.query import search
from tests.resolvers.embedders import FakeEmbedder, embedding_with, vector
from tests.resolvers.helpers import change, make_own_workspace, set_columns, statements, with_limits, write

CHANCE = random.Random(5)
WORDS = [f"word{number}" for number in range(3_000)]


@pytest.fixture
async def embedder(ctx: Context) -> FakeEmbedder:
    async with ctx.transaction() as tx:
        # What other tests left to do is none of these tests' business, nor what they indexed with other embedders.
        await tx.execute(update(Note).values(index_done=col(Note.index_wanted), chunk_count=0, embedder=None))
    return FakeEmbedder()


@pytest.fixture
def fake_ctx(me: Context, embedder: FakeEmbedder) -> Context:
    return embedding_with(me, embedder)


def sentence() -> str:
    return f"{' '.join(CHANCE.choices(WORDS, k=CHANCE.randint(4, 18))).capitalize()}."


def paragraph(sentences: int = 6) -> str:
    return " ".join(sentence() for _ in range(sentences))


def alone() -> str:
    """A paragraph that is a chunk of its own at the usual size."""
    return " ".join(CHANCE.choices(WORDS, k=40)).capitalize() + "."


async def rows(ctx: Context, note: Record) -> Sequence[Record]:
    columns = [column for column in DocumentEmbedding.__table__.columns if column.name != "words"]  # type: ignore[attr-defined]  # SQLModel's
    query = select(*columns, text("xmin::text AS written")).where(col(DocumentEmbedding.document_id) == note.id)
    async with ctx.read() as tx:
        return (await tx.execute(query.order_by(col(DocumentEmbedding.chunk_index)))).all()


async def right(ctx: Context, note: Record) -> list[str]:
    """The texts of a note's chunks, each of which has its own vector and its place."""
    stored, row = await rows(ctx, note), await notes.get_note(ctx, note.id)
    assert [chunk.chunk_index for chunk in stored] == list(range(row.chunk_count))
    for chunk in stored:
        np.testing.assert_allclose(chunk.embedding, vector(chunk.chunk_text), atol=1e-6)
        if chunk.source is TextSource.CONTENT_TEXT:
            assert chunk.chunk_text.endswith(row.content_text[chunk.start_offset : chunk.end_offset])
    return [chunk.chunk_text for chunk in stored]


async def embedded(ctx: Context, embedder: FakeEmbedder) -> list[str]:
    """What the worker has embedded for the notes that wait."""
    embedder.passages.clear()
    assert await worker.index(ctx) > 0
    return list(embedder.passages)


async def test_one_changed_sentence_of_a_long_note(fake_ctx: Context, embedder: FakeEmbedder) -> None:
    sentences = [sentence() for _ in range(600)]
    note = await write(fake_ctx, "Long", contentText=" ".join(sentences))
    assert len(" ".join(sentences)) > 50_000
    first = await indexing.index(fake_ctx, note.id)
    assert first.chunks_embedded == first.chunks_indexed > 90
    for position in (0, 299, 599):
        sentences[position] = sentence()
        await change(fake_ctx, note, contentText=" ".join(sentences))
        assert 1 <= len(await embedded(fake_ctx, embedder)) <= 3
        assert len(await right(fake_ctx, note)) == (await notes.get_note(fake_ctx, note.id)).chunk_count
    # Saved as it is.
    await change(fake_ctx, note, contentText=" ".join(sentences))
    assert await embedded(fake_ctx, embedder) == []
    assert (await indexing.index(fake_ctx, note.id)).chunks_embedded == 0


async def test_a_paragraph_at_the_front_moves_the_others_with_their_vectors(
    fake_ctx: Context, embedder: FakeEmbedder
) -> None:
    paragraphs = [alone() for _ in range(30)]
    note = await write(fake_ctx, summary="The first.", contentText="\n\n".join(paragraphs))
    await worker.index(fake_ctx)
    before = await right(fake_ctx, note)
    new = alone()
    await change(fake_ctx, note, contentText="\n\n".join([new, *paragraphs]))
    sent = await embedded(fake_ctx, embedder)
    assert (1 <= len(sent) <= 3, new in " ".join(sent)) == (True, True)
    assert len(await right(fake_ctx, note)) == len(before) + 1
    await change(fake_ctx, note, contentText="\n\n".join(paragraphs))
    await embedded(fake_ctx, embedder)
    assert await right(fake_ctx, note) == before


async def test_texts_that_take_each_others_places(fake_ctx: Context, embedder: FakeEmbedder) -> None:
    small = with_limits(fake_ctx, chunk_overlap=0)
    paragraphs = [alone() for _ in range(9)]
    note = await write(small)
    assert (await indexing.index(small, note.id, "\n\n".join(paragraphs))).chunks_indexed == 9
    # What has gone meanwhile is embedded again.
    for count, lacking in ((9, 0), (5, 0), (9, 4), (9, 0)):
        mixed = CHANCE.sample(paragraphs, count)
        done = await indexing.index(small, note.id, "\n\n".join(mixed))
        assert (done.chunks_indexed, done.chunks_embedded) == (count, lacking)
        assert await right(small, note) == mixed


async def test_equal_texts_are_embedded_once_in_a_workspace(
    ctx: Context, fake_ctx: Context, embedder: FakeEmbedder
) -> None:
    twice = f"{(same := alone())}\n\n{alone()}\n\n{same}"
    flat = with_limits(fake_ctx, chunk_overlap=0)
    first, second = await write(flat), await write(flat)
    assert (await indexing.index(flat, first.id, twice)).chunks_embedded == 2
    assert (await indexing.index(flat, second.id, twice)).chunks_embedded == 0
    assert (await right(flat, first)) == (await right(flat, second)) == twice.split("\n\n")
    # Another workspace's vectors are nobody else's.
    stranger = with_limits(embedding_with((await make_own_workspace(ctx)).ctx, embedder), chunk_overlap=0)
    assert (await indexing.index(stranger, (await write(stranger)).id, twice)).chunks_embedded == 2


async def test_a_note_whose_vectors_are_taken_is_deleted_meanwhile(fake_ctx: Context, embedder: FakeEmbedder) -> None:
    flat = with_limits(fake_ctx, chunk_overlap=0)
    shared, own = [alone(), alone()], alone()
    first, second = await write(flat), await write(flat)
    await indexing.index(flat, first.id, "\n\n".join(shared))
    await indexing.index(flat, second.id, "One chunk.")
    embedder.passages.clear()
    embedder.held = asyncio.Event()
    # One of them takes the place of a chunk that is there, the other comes new.
    call = asyncio.create_task(indexing.index(flat, second.id, "\n\n".join([shared[0], own, shared[1]])))
    while not embedder.passages:
        await asyncio.sleep(0.01)
    await notes.delete_note(flat, first.id)
    embedder.held.set()
    assert (await call).chunks_embedded == 3
    assert embedder.passages[0] == own
    assert sorted(embedder.passages[1:]) == sorted(shared)
    assert await right(flat, second) == [shared[0], own, shared[1]]


async def test_chunks_that_stay_are_left_alone(fake_ctx: Context) -> None:
    paragraphs = [alone() for _ in range(12)]
    note = await write(fake_ctx, contentText="\n\n".join(paragraphs))
    await worker.index(fake_ctx)
    before = await rows(fake_ctx, note)
    await change(fake_ctx, note, contentText="\n\n".join([*paragraphs[:-1], alone()]))
    await worker.index(fake_ctx)
    after = await rows(fake_ctx, note)
    written = [index for index, (old, new) in enumerate(zip(before, after, strict=True)) if old.written != new.written]
    assert written == [11]
    # A summary that was cut out moves all others; a shorter sentence only their places in the text.
    shorter = paragraphs[0].rsplit(" ", 1)[0] + "."
    await change(fake_ctx, note, contentText="\n\n".join([shorter, *paragraphs[1:]]))
    await worker.index(fake_ctx)
    moved = await rows(fake_ctx, note)
    assert moved[5].start_offset == after[5].start_offset - (len(paragraphs[0]) - len(shorter))
    await right(fake_ctx, note)


async def test_a_refused_text_affects_only_itself(fake_ctx: Context, embedder: FakeEmbedder) -> None:
    flat = with_limits(fake_ctx, chunk_overlap=0)
    embedder.refuses = ["unspeakable"]
    texts = [alone(), f"{alone()} An unspeakable thing.", alone()]
    note = await write(flat)
    assert (await indexing.index(flat, note.id, "\n\n".join(texts))).chunks_embedded == 3
    assert [row.embedding is None for row in await rows(flat, note)] == [False, True, False]
    hits = (await search(flat, "unspeakable", mode=SearchMode.TEXT)).hits
    assert [hit.chunk_text for hit in hits] == [texts[1]]
    more = alone()
    # It is not asked again for every save, here or in another note of the workspace …
    for again in (note, await write(flat)):
        assert (await indexing.index(flat, again.id, "\n\n".join([*texts, more]))).chunks_embedded == (again is note)
        assert [row.embedding is None for row in await rows(flat, again)] == [False, True, False, False]
    # … but it is when all is made anew.
    embedder.refuses = []
    embedder.passages.clear()
    await indexing.register_embedder(flat)
    await indexing.reindex(flat, flat.viewer.workspace_id)
    while await worker.renew(flat):
        pass
    assert set(embedder.passages) == {texts[1]}
    assert await right(flat, note) == [*texts, more]


class Breaking(FakeEmbedder):
    """Fails at the third call."""

    calls = 0

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector | None]:
        self.calls += 1
        if self.calls == 3:
            raise EmbedderUnavailable("away")
        return await super().embed_passages(texts)


async def test_what_was_made_before_a_failure_is_not_made_again(me: Context, embedder: FakeEmbedder) -> None:
    breaking = Breaking()
    ctx = with_limits(embedding_with(me, breaking), chunk_overlap=0)
    note = await write(ctx, contentText="\n\n".join(alone() for _ in range(200)))
    assert await worker.index(ctx) == 1
    assert (len(breaking.passages), await rows(ctx, note)) == (2 * EMBEDDER_BATCH_SIZE, [])
    await set_columns(ctx, note, index_after=None)
    assert await worker.index(ctx) == 1
    assert len(breaking.passages) == len(set(breaking.passages)) == len(await right(ctx, note)) >= 200


async def test_a_long_note_keeps_its_lease(me: Context, embedder: FakeEmbedder) -> None:
    seen: list[bool] = []

    class Slow(FakeEmbedder):
        async def embed_passages(self, texts: Sequence[str]) -> list[Vector | None]:
            row = await notes.get_note(ctx, note.id)
            seen.append((row.index_after - row.updated_at).total_seconds() > 60)
            # As if the time had passed.
            await set_columns(ctx, note, index_after=row.updated_at)
            return await super().embed_passages(texts)

    ctx = with_limits(embedding_with(me, Slow()), chunk_overlap=0)
    note = await write(ctx, contentText="\n\n".join(alone() for _ in range(130)))
    await worker.index(ctx)
    assert seen == [True, True, True]


async def test_the_statements_of_a_save(fake_ctx: Context) -> None:
    paragraphs = [alone() for _ in range(80)]
    note = await write(fake_ctx, contentText="\n\n".join(paragraphs))
    await worker.index(fake_ctx)
    for position, most in ((40, 9), (0, 9), (79, 9)):
        paragraphs[position] = alone()
        await change(fake_ctx, note, contentText="\n\n".join(paragraphs))
        [job] = await indexing.claim(fake_ctx, 8)
        with statements(fake_ctx) as executed_statements:
            await indexing.work(fake_ctx, job)
        assert len(executed_statements) <= most, executed_statements
