"""The chunks of a note: which text they are of, whatever happens at the same time or in between."""

import asyncio
import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlmodel import col

from caret import worker
from models import DocumentEmbedding, Event, EventType, Note
from models.base import MAX_TEXT, Record
from models.note import NoteKind
from models.search import SearchMode, TextSource
from resolvers import notes
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.ports.ai import EmbedderMisconfigured, EmbedderUnavailable
from resolvers.search import indexing
from resolvers.search.chunks import SourceText, split_into_chunks
from resolvers.search.query import search
from tests.resolvers.embedders import FakeEmbedder, embedding_with
from tests.resolvers.helpers import append, change, embedder_of, refused, set_columns, spoken, with_limits, write

AWAY = EmbedderUnavailable("away")


@pytest.fixture
async def embedder(ctx: Context) -> FakeEmbedder:
    async with ctx.transaction() as tx:
        # What other tests left to do is none of these tests' business.
        await tx.execute(update(Note).values(index_done=col(Note.index_wanted)))
    return FakeEmbedder()


@pytest.fixture
def fake_ctx(me: Context, embedder: FakeEmbedder) -> Context:
    return embedding_with(me, embedder)


async def chunks(ctx: Context, note: Record) -> list[str]:
    query = select(col(DocumentEmbedding.chunk_text)).where(col(DocumentEmbedding.document_id) == note.id)
    async with ctx.read() as tx:
        return list((await tx.execute(query.order_by(col(DocumentEmbedding.chunk_index)))).scalars())


async def exact_matches(ctx: Context, text: str) -> list[str]:
    """The chunks that are this very text."""
    hits = (await search(ctx, text, mode=SearchMode.SEMANTIC, first=20)).hits
    return [hit.chunk_text for hit in hits if hit.score > 0.99]


async def indexed_events(ctx: Context, note: Record) -> int:
    query = select(func.count()).select_from(Event).where(col(Event.note_id) == note.id)
    async with ctx.read() as tx:
        return int((await tx.execute(query.where(col(Event.type) == EventType.NOTE_INDEXED))).scalar_one())


async def state(ctx: Context, note: Record) -> tuple[int, int, int, bool]:
    """Tickets taken and done, failures, whether it is put off."""
    row = await notes.get_note(ctx, note.id)
    return row.index_wanted, row.index_done, row.index_failures, row.index_after is not None


async def test_the_worker_indexes_a_new_note(fake_ctx: Context) -> None:
    fields = {"userWrittenNote": "own", "summary": "sum", "enhancedNote": "better", "contentText": "text"}
    note = await write(fake_ctx, "Title", **fields, transcripts=spoken("Hello.", "Bye."))
    assert await worker.index(fake_ctx) == 1
    assert await chunks(fake_ctx, note) == ["Title\n\nown", "sum", "better", "text", "Ann: Hello. Bye."]
    stored = await notes.get_note(fake_ctx, note.id)
    assert (stored.chunk_count, await embedder_of(fake_ctx, note), stored.indexed_at > note.created_at) == (
        5,
        "fake",
        True,
    )
    # Indexing changes nothing that people see as a change.
    assert (stored.revision, stored.updated_at) == (note.revision, note.updated_at)
    assert (await state(fake_ctx, note), await indexed_events(fake_ctx, note)) == ((1, 1, 0, False), 1)
    assert await worker.index(fake_ctx) == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("One.", ["One."]),
        (f"{'one ' * 10}.\n\n{'two ' * 10}.", [f"{'one ' * 10}.", f"{'two ' * 10}."]),
        (None, ["Title"]),
    ],
)
async def test_index_a_given_text(
    fake_ctx: Context, embedder: FakeEmbedder, content: str | None, expected: list[str]
) -> None:
    small = with_limits(fake_ctx, chunk_size=64, chunk_overlap=0)
    note = await write(small, "Title")
    await indexing.index(small, note.id, "Something else, that is gone afterwards.")
    embedder.passages.clear()
    done = await indexing.index(small, note.id, content)
    assert (done.note_id, done.chunks_indexed, done.chunks_embedded) == (note.id, len(expected), len(expected))
    assert (await chunks(small, note), embedder.passages) == (expected, expected)
    assert (await notes.get_note(small, note.id)).chunk_count == len(expected)
    # The worker leaves it so.
    assert await worker.index(small) == 0


@pytest.mark.parametrize("content", ["x" * (MAX_TEXT + 1), "\x00", "\ud800"])
async def test_texts_that_are_not_indexed(fake_ctx: Context, content: str) -> None:
    note = await write(fake_ctx)
    with refused(ErrorCode.BAD_USER_INPUT, "content"):
        await indexing.index(fake_ctx, note.id, content)
    assert await state(fake_ctx, note) == (1, 0, 0, False)


async def test_the_longest_text_is_indexed(fake_ctx: Context) -> None:
    note = await write(fake_ctx)
    large = with_limits(fake_ctx, chunk_size=5_120, chunk_overlap=640)
    done = await indexing.index(large, note.id, "é" * MAX_TEXT)
    stored = await chunks(fake_ctx, note)
    assert done.chunks_indexed == len(stored) > MAX_TEXT / 5_120
    assert max(len(chunk) for chunk in stored) <= 5_120


async def test_after_a_change_the_new_text_is_found_and_the_old_is_not(fake_ctx: Context) -> None:
    note = await write(fake_ctx, "old")
    await worker.index(fake_ctx)
    assert await exact_matches(fake_ctx, "old") == ["old"]
    await change(fake_ctx, note, title="new")
    # Until the new chunks are there, the old ones are found.
    assert await exact_matches(fake_ctx, "old") == ["old"]
    await worker.index(fake_ctx)
    assert (await exact_matches(fake_ctx, "old"), await exact_matches(fake_ctx, "new")) == ([], ["new"])
    await append(fake_ctx, note, "Hi")
    await worker.index(fake_ctx)
    assert await chunks(fake_ctx, note) == ["new\n\nAnn: Hi"]


async def test_a_change_that_is_no_text_keeps_the_chunks(fake_ctx: Context, embedder: FakeEmbedder) -> None:
    note = await write(fake_ctx)
    await indexing.index(fake_ctx, note.id, "handed in")
    embedder.passages.clear()
    await change(fake_ctx, note, kind=NoteKind.PODCAST, meetingApp="Zoom")
    assert (await worker.index(fake_ctx), embedder.passages) == (0, [])
    assert await chunks(fake_ctx, note) == ["handed in"]


async def test_after_forget_there_is_nothing_until_it_is_indexed_again(fake_ctx: Context) -> None:
    note = await write(fake_ctx, "text")
    await indexing.delete_chunks(fake_ctx, note.id)
    await indexing.index(fake_ctx, note.id)
    assert await exact_matches(fake_ctx, "text") == ["text"]
    await indexing.delete_chunks(fake_ctx, note.id)
    await indexing.delete_chunks(fake_ctx, note.id)
    assert (await exact_matches(fake_ctx, "text"), await chunks(fake_ctx, note), await worker.index(fake_ctx)) == (
        [],
        [],
        0,
    )
    assert (await notes.get_note(fake_ctx, note.id)).chunk_count == 0
    await change(fake_ctx, note, summary="more")
    await worker.index(fake_ctx)
    assert await chunks(fake_ctx, note) == ["text\n\nmore"]


async def test_of_many_at_once_the_last_accepted_stays(me: Context, embedder: FakeEmbedder) -> None:
    chance = random.Random(7)
    accepted: dict[int, str] = {}

    class Slow(FakeEmbedder):
        async def embed_passages(self, texts: Sequence[str]) -> list[Any]:
            async with ctx.read() as tx:
                query = select(col(Note.index_wanted), col(Note.index_content)).where(col(Note.id) == note.id)
                row = (await tx.execute(query)).one()
            accepted[row.index_wanted] = row.index_content
            await asyncio.sleep(chance.random() / 5)
            return await super().embed_passages(texts)

    ctx = embedding_with(with_limits(me, chunk_size=64, chunk_overlap=8), Slow())
    note = await write(ctx)
    contents = [f"content {number} " * (1 + 10 * (number % 4)) for number in range(20)]
    done = await asyncio.gather(*(indexing.index(ctx, note.id, content) for content in contents))
    assert len(done) == 20
    stored = await notes.get_note(ctx, note.id)
    assert (stored.index_wanted, stored.index_done) == (21, 21)
    expected = split_into_chunks("", [SourceText(TextSource.CONTENT, accepted[21])], [], 64, 8)
    assert await chunks(ctx, note) == [chunk.text for chunk in expected]
    assert stored.chunk_count == len(await chunks(ctx, note))


async def test_a_slow_index_does_not_overwrite_a_faster_newer_one(fake_ctx: Context, embedder: FakeEmbedder) -> None:
    note = await write(fake_ctx)
    embedder.held = asyncio.Event()
    slow = asyncio.create_task(indexing.index(fake_ctx, note.id, "older"))
    while "older" not in embedder.passages:
        await asyncio.sleep(0.01)
    held, embedder.held = embedder.held, None
    await indexing.index(fake_ctx, note.id, "newer")
    held.set()
    await slow
    assert (await chunks(fake_ctx, note), await indexed_events(fake_ctx, note)) == (["newer"], 1)
    assert await state(fake_ctx, note) == (3, 3, 0, False)


async def test_no_connection_is_held_while_the_embedder_works(fake_ctx: Context, embedder: FakeEmbedder) -> None:
    written = [await write(fake_ctx) for _ in range(30)]
    embedder.held = asyncio.Event()
    calls = [asyncio.create_task(indexing.index(fake_ctx, note.id, "text")) for note in written]
    while len(embedder.passages) < 30:
        await asyncio.sleep(0.01)
    assert fake_ctx.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # the queue pool's own
    embedder.held.set()
    await asyncio.gather(*calls)


async def test_a_note_deleted_meanwhile_is_not_found(fake_ctx: Context, embedder: FakeEmbedder) -> None:
    note = await write(fake_ctx)
    embedder.held = asyncio.Event()
    call = asyncio.create_task(indexing.index(fake_ctx, note.id, "text"))
    while not embedder.passages:
        await asyncio.sleep(0.01)
    await notes.delete_note(fake_ctx, note.id)
    embedder.held.set()
    with refused(ErrorCode.NOT_FOUND):
        await call
    assert await chunks(fake_ctx, note) == []


async def test_while_the_embedder_is_away_the_note_waits_and_stays_findable(
    fake_ctx: Context, embedder: FakeEmbedder
) -> None:
    note = await write(fake_ctx, "old")
    await worker.index(fake_ctx)
    await change(fake_ctx, note, title="new")
    embedder.failure = AWAY
    for failures, least in ((1, 1), (2, 2), (3, 4), (4, 8)):
        before = datetime.now(UTC)
        assert await worker.index(fake_ctx) == 1
        row = await notes.get_note(fake_ctx, note.id)
        assert (row.index_failures, await worker.index(fake_ctx)) == (failures, 0)
        assert least - 0.1 <= (row.index_after - before).total_seconds() <= least + 2
        await set_columns(fake_ctx, note, index_after=before)
    embedder.failure = None
    assert await exact_matches(fake_ctx, "old") == ["old"]
    assert await worker.index(fake_ctx) == 1
    assert (await exact_matches(fake_ctx, "old"), await exact_matches(fake_ctx, "new")) == ([], ["new"])
    assert await state(fake_ctx, note) == (2, 2, 0, False)


@pytest.mark.parametrize(
    ("failure", "failures", "least", "most"),
    [
        (EmbedderUnavailable("away", retry_after=90.5), 0, 90, 92),
        (EmbedderUnavailable("away", retry_after=0.1), 3, 8, 10),
        (EmbedderUnavailable("away"), 12, 600, 602),
        (EmbedderUnavailable("away"), 32_000, 600, 602),
        (EmbedderMisconfigured("wrong"), 0, 1, 3),
    ],
)
async def test_how_long_a_note_is_put_off(
    *, fake_ctx: Context, embedder: FakeEmbedder, failure: Exception, failures: int, least: int, most: int
) -> None:
    note = await write(fake_ctx)
    await set_columns(fake_ctx, note, index_failures=failures)
    embedder.failure = failure
    before = datetime.now(UTC)
    await worker.index(fake_ctx)
    waits = ((await notes.get_note(fake_ctx, note.id)).index_after - before).total_seconds()
    assert least - 0.1 <= waits <= most


async def test_failing_for_very_long_is_no_reason_to_stop_trying(fake_ctx: Context, embedder: FakeEmbedder) -> None:
    note = await write(fake_ctx)
    await set_columns(fake_ctx, note, index_failures=32_767)
    embedder.failure = AWAY
    await worker.index(fake_ctx)
    assert await state(fake_ctx, note) == (1, 0, 32_767, True)


@pytest.mark.parametrize(
    ("failure", "retry_after"),
    [(AWAY, None), (EmbedderUnavailable("away", retry_after=2.5), 3), (EmbedderMisconfigured("secret setting"), None)],
)
async def test_a_text_handed_in_while_the_embedder_is_away_is_kept(
    fake_ctx: Context, embedder: FakeEmbedder, failure: Exception, retry_after: int | None
) -> None:
    note = await write(fake_ctx)
    embedder.failure = failure
    with pytest.raises(Problem) as caught:
        await indexing.index(fake_ctx, note.id, "handed in")
    assert (caught.value.code, caught.value.retry_after) == (ErrorCode.UNAVAILABLE, retry_after)
    assert "secret" not in caught.value.message
    embedder.failure = None
    await set_columns(fake_ctx, note, index_after=datetime.now(UTC) - timedelta(seconds=1))
    assert await worker.index(fake_ctx) == 1
    assert await chunks(fake_ctx, note) == ["handed in"]


async def test_a_failure_of_an_older_text_does_not_put_off_a_newer_one(
    fake_ctx: Context, embedder: FakeEmbedder
) -> None:
    note = await write(fake_ctx)
    [job] = await indexing.claim(fake_ctx, 10)
    await change(fake_ctx, note, title="newer")
    embedder.failure = AWAY
    with pytest.raises(EmbedderUnavailable):
        await indexing.work(fake_ctx, job)
    assert await state(fake_ctx, note) == (2, 0, 0, False)


async def test_what_a_dead_worker_had_begun_is_taken_up_after_its_lease(fake_ctx: Context) -> None:
    note = await write(fake_ctx, "text")
    [job] = await indexing.claim(fake_ctx, 10)
    assert job.id == note.id
    # That worker is gone: nobody else takes the note before the lease ends, then somebody does.
    assert await indexing.claim(fake_ctx, 10) == []
    lease = (await notes.get_note(fake_ctx, note.id)).index_after - datetime.now(UTC)
    assert timedelta(seconds=110) < lease <= indexing.LEASE
    await set_columns(fake_ctx, note, index_after=datetime.now(UTC) - timedelta(seconds=1))
    assert await worker.index(fake_ctx) == 1
    assert (await chunks(fake_ctx, note), await state(fake_ctx, note)) == (["text"], (1, 1, 0, False))
    # The dead one was only slow: doing it twice is harmless.
    await indexing.work(fake_ctx, job)
    assert (await chunks(fake_ctx, note), await indexed_events(fake_ctx, note)) == (["text"], 1)


async def test_workers_share_the_work(fake_ctx: Context) -> None:
    written = {(await write(fake_ctx)).id for _ in range(12)}
    claimed = await asyncio.gather(*(indexing.claim(fake_ctx, 5) for _ in range(4)))
    ids = [job.id for jobs in claimed for job in jobs]
    assert (len(ids), set(ids)) == (12, written)
    assert max(len(jobs) for jobs in claimed) == 5


async def test_one_failing_note_keeps_no_other_waiting(fake_ctx: Context, embedder: FakeEmbedder) -> None:
    class Picky(FakeEmbedder):
        async def embed_passages(self, texts: Sequence[str]) -> list[Any]:
            if "bad" in texts:
                raise AWAY
            return await super().embed_passages(texts)

    ctx = embedding_with(fake_ctx, Picky())
    bad = await write(ctx, "bad")
    good = [await write(ctx, f"good {number}") for number in range(3)]
    assert await worker.index(ctx) == 4
    assert [await chunks(ctx, note) for note in (bad, *good)] == [[], ["good 0"], ["good 1"], ["good 2"]]


async def test_a_note_that_is_not_there(fake_ctx: Context) -> None:
    for call in (indexing.index(fake_ctx, uuid.uuid4(), "x"), indexing.delete_chunks(fake_ctx, uuid.uuid4())):
        with refused(ErrorCode.NOT_FOUND):
            await call
