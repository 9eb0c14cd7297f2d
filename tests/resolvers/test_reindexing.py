"""Chunks that are made anew although their text is as it was: another embedder, `caret reindex`."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete as remove
from sqlalchemy import select, update
from sqlmodel import col

from caret import worker
from models import Note, VectorSpace, Workspace
from models.base import Record
from models.search import SearchMode
from resolvers import notes
from resolvers.core.context import Context
from resolvers.core.ports.ai import EmbedderUnavailable
from resolvers.search import indexing
from resolvers.search.query import search
from tests.resolvers.embedders import FakeEmbedder, embedding_with
from tests.resolvers.helpers import change, embedder_of, make_own_workspace, set_columns, statements, write

OLD, NEW = FakeEmbedder("model-b"), FakeEmbedder("model-a")
"""The newer is not the later in the alphabet."""


@pytest.fixture
async def old(ctx: Context, me: Context) -> Context:
    """A workspace in a database where nothing else is to do, and no embedder is known."""
    async with ctx.transaction() as tx:
        done = {"index_done": col(Note.index_wanted), "chunk_count": 0, "embedder": None, "indexed_at": None}
        await tx.execute(update(Note).values(done))
        await tx.execute(update(Workspace).values(reindex_since=None))
        await tx.execute(remove(VectorSpace))
    for embedder in (OLD, NEW):
        embedder.failure = None
        embedder.passages.clear()
    written_notes = embedding_with(me, OLD, NEW)
    await indexing.register_embedder(written_notes)
    return written_notes


async def newer(old: Context) -> Context:
    """As a worker that was started with another model."""
    written_notes = embedding_with(old, NEW, OLD)
    await indexing.register_embedder(written_notes)
    return written_notes


async def spaces(ctx: Context) -> set[str]:
    async with ctx.read() as tx:
        return set((await tx.execute(select(col(VectorSpace.identity)))).scalars())


async def embedders(ctx: Context, *of: Record) -> list[str | None]:
    return [await embedder_of(ctx, note) for note in of]


async def best(ctx: Context, text: str) -> str | None:
    """The note that has this very text, found by its meaning."""
    hits = (await search(ctx, text, mode=SearchMode.SEMANTIC)).hits
    return hits[0].document_title if hits and hits[0].score > 0.99 else None


async def all_renewed(ctx: Context) -> int:
    done = 0
    while (count := await worker.renew(ctx)) > 0:
        done += count
    return done


async def written(ctx: Context, *titles: str) -> list[Record]:
    written_notes = [await write(ctx, title) for title in titles]
    while await worker.index(ctx):
        pass
    return written_notes


async def test_another_model_moves_the_notes_while_both_are_searched(old: Context) -> None:
    written_notes = await written(old, "one", "two", "three")
    assert await worker.renew(old) == 0
    new = await newer(old)
    assert await spaces(new) == {"model-a", "model-b"}
    assert await worker.renew(new) == 2
    assert sorted(map(str, await embedders(new, *written_notes))) == ["model-a", "model-a", "model-b"]
    # Each note is found by the vectors it has, whoever asks.
    for ctx in (new, old):
        assert [await best(ctx, title) for title in ("one", "two", "three")] == ["one", "two", "three"]
    assert await indexing.delete_unused_embedders(new) == 0
    assert await all_renewed(new) == 1
    assert await embedders(new, *written_notes) == ["model-a"] * 3
    assert (await indexing.delete_unused_embedders(new), await spaces(new)) == (1, {"model-a"})
    assert [await best(new, title) for title in ("one", "two", "three")] == ["one", "two", "three"]
    assert (len(OLD.passages), len(NEW.passages), await worker.renew(new)) == (3, 3, 0)


async def test_two_servers_of_different_models_do_not_undo_each_other(old: Context) -> None:
    [note] = await written(old, "one")
    new = await newer(old)
    assert (await all_renewed(new), await all_renewed(old)) == (1, 0)
    # What the old one is asked to index it does, and the new one moves it once.
    await indexing.index(old, note.id)
    assert (await all_renewed(old), await all_renewed(new), await all_renewed(old)) == (0, 1, 0)
    assert await embedders(old, note) == ["model-a"]
    # A worker of the newest that starts again changes nothing; one of the old that starts takes over.
    await indexing.register_embedder(new)
    assert await all_renewed(new) == 0
    await indexing.register_embedder(old)
    assert (await all_renewed(new), await all_renewed(old)) == (0, 1)


async def test_a_worker_that_starts_while_old_embedders_are_forgotten_is_known(old: Context) -> None:
    for number in range(30):
        new = embedding_with(old, FakeEmbedder(f"model-{number}"))
        await asyncio.gather(
            indexing.delete_unused_embedders(new),
            indexing.register_embedder(new),
            indexing.delete_unused_embedders(new),
        )
        async with new.read() as tx:
            assert await indexing.current_embedder(tx) == new.embedder.identity


async def test_a_server_that_has_no_worker_is_not_the_newest(old: Context) -> None:
    [note] = await written(old, "one")
    web = embedding_with(old, NEW, OLD)
    await indexing.index(web, note.id)
    assert (await spaces(web), await best(web, "one")) == ({"model-a", "model-b"}, "one")
    assert (await all_renewed(web), await all_renewed(old)) == (0, 1)


async def test_new_texts_come_first(old: Context) -> None:
    written_notes = await written(old, *"abcd")
    new = await newer(old)
    fresh = await write(new, "fresh")
    assert await worker.renew(new) == 0
    assert await worker.index(new) == 1
    assert (NEW.passages, await embedders(new, fresh)) == (["fresh"], ["model-a"])
    assert await all_renewed(new) == 4
    assert await embedders(new, *written_notes) == ["model-a"] * 4


async def test_what_was_handed_in_stays_and_what_was_forgotten_too(old: Context) -> None:
    handed_in, forgotten = await written(old, "given", "forgotten")
    await indexing.index(old, handed_in.id, "handed in")
    await indexing.delete_chunks(old, forgotten.id)
    new = await newer(old)
    assert await all_renewed(new) == 1
    await indexing.reindex(new, new.viewer.workspace_id)
    assert await all_renewed(new) == 2
    assert (await best(new, "handed in"), await best(new, "forgotten")) == ("given", None)
    assert (await notes.get_note(new, forgotten.id)).chunk_count == 0


async def test_chunks_whose_embedder_nobody_knows_are_made_anew(old: Context) -> None:
    [note] = await written(old, "one")
    await set_columns(old, note, embedder=None)
    assert await best(old, "one") is None
    assert await all_renewed(old) == 1
    assert await best(old, "one") == "one"


async def test_while_the_embedder_is_away_the_notes_are_given_back(old: Context) -> None:
    [note] = await written(old, "one")
    new = await newer(old)
    NEW.failure = EmbedderUnavailable("away", retry_after=40)
    before = datetime.now(UTC)
    assert (await worker.renew(new), await worker.index(new)) == (0, 0)
    row = await notes.get_note(new, note.id)
    assert (row.index_wanted, row.index_done, row.index_failures) == (2, 2, 1)
    assert await embedder_of(new, note) == "model-b"
    assert timedelta(seconds=39) < row.index_after - before < timedelta(seconds=45)
    NEW.failure = None
    assert (await worker.renew(new), await best(old, "one")) == (0, "one")
    await set_columns(new, note, index_after=before)
    assert await worker.renew(new) == 1
    row = await notes.get_note(new, note.id)
    assert (row.index_wanted, row.index_done, row.index_failures) == (3, 3, 0)
    assert await embedder_of(new, note) == "model-a"


async def test_what_a_dead_worker_had_begun_is_taken_up(old: Context) -> None:
    [note] = await written(old, "one")
    new = await newer(old)
    [job] = await indexing.claim_outdated(new, 8)
    assert (job.id, job.outdated) == (note.id, True)
    assert (await worker.renew(new), await worker.index(new)) == (0, 0)
    await set_columns(new, note, index_after=datetime.now(UTC) - timedelta(seconds=1))
    assert await worker.index(new) == 1
    assert (await embedders(new, note), await worker.renew(new)) == (["model-a"], 0)
    # One that was only stopped leaves no lease behind.
    await indexing.reindex(new, None)
    await indexing.release_outdated(new, await indexing.claim_outdated(new, 8))
    assert await worker.renew(new) == 1


async def test_a_text_that_is_saved_meanwhile_wins(old: Context) -> None:
    [note] = await written(old, "one")
    new = await newer(old)
    [job] = await indexing.claim_outdated(new, 8)
    await change(new, note, title="other")
    await indexing.work(new, job)
    assert await worker.index(new) == 1
    assert (await best(new, "other"), await best(new, "one")) == ("other", None)


async def test_workers_share_the_notes(old: Context) -> None:
    written_notes = await written(old, *(f"note {number}" for number in range(12)))
    new = await newer(old)
    claimed = await asyncio.gather(*(indexing.claim_outdated(new, 3) for _ in range(4)))
    ids = [job.id for jobs in claimed for job in jobs]
    assert (len(ids), set(ids)) == (len(set(ids)), {note.id for note in written_notes} & set(ids))
    assert max(len(jobs) for jobs in claimed) == 3


async def test_reindexing_a_workspace_goes_on_where_it_stopped(old: Context, ctx: Context) -> None:
    written_notes = await written(old, *"abcdef")
    other = embedding_with((await make_own_workspace(ctx)).ctx, OLD)
    await written(other, "untouched")
    workspace_id = old.viewer.workspace_id
    assert await indexing.reindex(old, workspace_id) == 1
    assert await indexing.reindex_progress(old, workspace_id) == indexing.ReindexProgress(workspaces=1, notes=6)
    since = (await notes.get_note(old, written_notes[0].id)).indexed_at
    assert await worker.renew(old) == 2
    assert await indexing.finish_reindexing(old) == 0
    # Begun again it is the same.
    assert await indexing.reindex(old, workspace_id) == 0
    assert await indexing.reindex_progress(old, workspace_id) == indexing.ReindexProgress(workspaces=1, notes=4)
    passages = len(OLD.passages)
    assert await all_renewed(old) == 4
    # Texts that have a vector need no other.
    assert len(OLD.passages) == passages
    assert all([(await notes.get_note(old, note.id)).indexed_at > since for note in written_notes])
    assert (await indexing.reindex_progress(old, workspace_id), await indexing.finish_reindexing(old)) == (
        indexing.ReindexProgress(1, 0),
        1,
    )
    assert await indexing.reindex_progress(old, None) == indexing.ReindexProgress(0, 0)


async def test_one_workspace_alone(old: Context, ctx: Context) -> None:
    other = embedding_with((await make_own_workspace(ctx)).ctx, OLD)
    [here], [there] = await written(old, "here"), await written(other, "there")
    await indexing.reindex(old, None)
    jobs = [job for _ in range(2) for job in await indexing.claim_outdated(old, 8, other.viewer.workspace_id)]
    assert [job.id for job in jobs] == [there.id]
    assert {job.id for job in await indexing.claim_outdated(old, 8)} == {here.id}


async def test_looking_costs_little_where_nothing_is_outdated(old: Context) -> None:
    await written(old, "one")
    with statements(old) as executed_statements:
        assert await worker.renew(old) == 0
    assert len(executed_statements) == 3
