"""How the chunks near in meaning are found: compared or by the index, of several spaces, and one note among others."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from sqlalchemy import delete as remove
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import col

from caret.adapters.postgres import SESSION_SETTINGS, create_engine
from models import Note
from models.base import Record
from models.note import NoteStatus, NoteVisibility
from models.note_filter import NoteFilter
from models.search import SearchMode
from resolvers import notes
from resolvers.core.context import Context
from resolvers.core.database import Database
from resolvers.core.errors import ErrorCode
from resolvers.core.ports.ai import EmbedderMisconfigured, EmbedderUnavailable
from resolvers.search import indexing
from resolvers.search.query import Hit, search
from tests.resolvers.embedders import FakeEmbedder, embedding_with
from tests.resolvers.helpers import OwnWorkspace, executed, make_own_workspace, refused, statements, with_limits, write

BREAK_EVEN = "resolvers.search.query.scope.INDEX_BREAK_EVEN"
WAYS = [300, 0]
"""Each chunk compared; the index asked."""


@pytest.fixture
async def by_index(own_workspace: OwnWorkspace) -> AsyncIterator[Context]:
    """The planner asks the indexes wherever it can, as it does in a large table."""
    planner = dict.fromkeys(["enable_seqscan", "enable_bitmapscan", "enable_sort"], "off")
    opened = create_async_engine(
        own_workspace.ctx.database.engine.url, connect_args={"server_settings": {**SESSION_SETTINGS, **planner}}
    )
    yield embedding_with(replace(own_workspace.ctx, database=Database(opened)), FakeEmbedder())
    await opened.dispose()


@pytest.fixture
def fake(own_workspace: OwnWorkspace) -> Context:
    return embedding_with(own_workspace.ctx, FakeEmbedder())


async def index_text(ctx: Context, title: str, content: str, **fields: object) -> Record:
    note = await write(ctx, title, **fields)
    await indexing.index(ctx, note.id, content)
    return note


async def hits(ctx: Context, query: str, mode: SearchMode = SearchMode.SEMANTIC, **how: Any) -> list[Hit]:
    return list((await search(ctx, query, mode=mode, **how)).hits)


def titles(results: list[Hit]) -> list[str]:
    return [hit.document_title for hit in results]


async def plans(ctx: Context, query: str, mode: SearchMode) -> list[str]:
    """How Postgres runs each statement of a search, under the settings that it has made until then."""
    with executed(ctx) as recorded:
        await search(ctx, query, mode=mode)
    results = []
    async with ctx.database.engine.connect() as connection:
        for statement, values in recorded:
            if statement.startswith("SET LOCAL"):
                await connection.exec_driver_sql(statement)
            else:
                rows = await connection.exec_driver_sql(f"EXPLAIN {statement}", values)
                results.append("\n".join(rows.scalars()))
    return results


async def test_the_indexes_are_used(by_index: Context, fake: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BREAK_EVEN, 0)
    for number in range(3):
        await index_text(by_index, f"Note {number}", f"number{number} and more")
    for ctx in (by_index, fake):
        near = [plan for plan in await plans(ctx, "number1", SearchMode.SEMANTIC) if "chunks_by_meaning" in plan]
        assert len(near) == 1
        assert "Order By: ((embedding)::halfvec(1536) <=>" in near[0]


NOTES = """INSERT INTO notes (id, workspace_id, title, kind, status, visibility, chunk_count)
  SELECT md5(:workspace || n)::uuid, CAST(:workspace AS uuid), 'Note ' || n, 'online', 'idle', 'workspace', 10
  FROM generate_series(0, 1999) n"""
CHUNKS = """INSERT INTO document_embeddings (document_id, workspace_id, chunk_index, chunk_text, fingerprint, source,
    start_offset, end_offset)
  SELECT md5(:workspace || n / 10)::uuid, CAST(:workspace AS uuid), n % 10,
    'common ' || repeat('filler ', 60) || 'word' || n % 5000,
    sha256(n::text::bytea), 'content', 0, 1
  FROM generate_series(0, 19999) n"""
# New entries wait in a list of the index that is searched whole.
SETTLE = "SELECT gin_clean_pending_list('chunks_by_words')"


async def test_words_are_looked_up_in_their_index(fake: Context) -> None:
    async with fake.transaction() as tx:
        for statement in (NOTES, CHUNKS, SETTLE, "ANALYZE notes", "ANALYZE document_embeddings"):
            await tx.execute(
                text(statement), {"workspace": str(fake.viewer.workspace_id)} if ":" in statement else None
            )
    results = await hits(fake, "common word17", SearchMode.TEXT, first=20)
    assert sorted(titles(results)) == ["Note 1", "Note 1001", "Note 1501", "Note 501"]
    used = [plan for plan in await plans(fake, "common word17", SearchMode.TEXT) if "chunks_by_words" in plan]
    assert len(used) == 1
    assert "words @@ '''word17'''" in used[0]
    async with fake.transaction() as tx:
        await tx.execute(remove(Note).where(col(Note.workspace_id) == fake.viewer.workspace_id))


async def test_how_wide_the_index_is_searched_is_set(ctx: Context) -> None:
    opened = create_engine(ctx.database.engine.url.render_as_string(hide_password=False).replace("+asyncpg", ""), 17)
    async with opened.connect() as connection:
        await connection.execute(text("SELECT '[1]'::vector"))
        assert await connection.scalar(text("SHOW hnsw.ef_search")) == "17"
    await opened.dispose()


async def test_few_chunks_are_compared_and_many_are_not(fake: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        await index_text(fake, f"Note {number}", f"number{number}")
    monkeypatch.setattr("resolvers.search.query.scope.MIN_TOTAL_CHUNKS", 1)
    monkeypatch.setattr("resolvers.search.query.semantic.RANKING_DEPTH", 2)
    monkeypatch.setattr("resolvers.search.query.scope.RANKING_DEPTH", 2)
    async with fake.transaction() as tx:
        await tx.execute(text("ANALYZE document_embeddings"))
        total = (await tx.execute(text("SELECT count(*) FROM document_embeddings"))).scalar_one()
    for bound, indexed in ((4, False), (3.9, True)):
        monkeypatch.setattr(BREAK_EVEN, bound**2 / total)
        with statements(fake) as recorded:
            [best, *_] = await hits(fake, "number2")
        assert best.document_title == "Note 2"
        assert any("HALFVEC" in statement for statement in recorded) is indexed


@pytest.mark.parametrize("even", WAYS)
async def test_the_same_text_in_many_chunks_hides_no_other(
    ctx: Context, by_index: Context, monkeypatch: pytest.MonkeyPatch, even: int
) -> None:
    """Equal vectors have only each other as neighbours in the index, which then leads to nobody else."""
    monkeypatch.setattr(BREAK_EVEN, even)
    async with ctx.transaction() as tx:
        # The crowd comes first, so that it is where the index begins.
        await tx.execute(text("TRUNCATE document_embeddings"))
    other = embedding_with((await make_own_workspace(ctx)).ctx, FakeEmbedder())
    note = await write(other, "Crowd")
    await indexing.index(other, note.id, ("x" * 447 + "\n") * 400)
    for number in range(4):
        await index_text(by_index, f"Note {number}", f"number{number}")
    results = await hits(by_index, "number2")
    assert titles(results)[0] == "Note 2"
    assert len(results) == 4


@pytest.mark.parametrize("even", WAYS)
@pytest.mark.parametrize("mode", SearchMode)
async def test_one_note_does_not_fill_the_page(
    fake: Context, monkeypatch: pytest.MonkeyPatch, mode: SearchMode, even: int
) -> None:
    monkeypatch.setattr(BREAK_EVEN, even)
    small = with_limits(fake, chunk_size=64, chunk_overlap=0)
    await index_text(small, "Loud", "\n\n".join(["lease " * 10] * 70))
    for number in range(4):
        await index_text(small, f"Quiet {number}", f"lease of {'something else ' * number}")
    query = ("lease " * 10).strip()
    page = await hits(small, query, mode, first=7)
    assert sorted(titles(page)) == ["Loud"] * 3 + [f"Quiet {number}" for number in range(4)]
    assert [hit.score for hit in page] == sorted((hit.score for hit in page), reverse=True)
    # When the others have no more, it fills the page; and nobody asked REST to keep them apart.
    assert sorted(titles(await hits(small, query, mode, first=20))).count("Loud") == 16
    assert titles(await hits(small, query, mode, first=7, grouped=False)) == ["Loud"] * 7


@pytest.mark.parametrize("even", WAYS)
@pytest.mark.parametrize("mode", SearchMode)
async def test_filters(
    own_workspace: OwnWorkspace, monkeypatch: pytest.MonkeyPatch, mode: SearchMode, even: int
) -> None:
    monkeypatch.setattr(BREAK_EVEN, even)
    ctx = embedding_with(own_workspace.ctx, FakeEmbedder())
    tag = await own_workspace.tag("t")
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "done": {"status": NoteStatus.COMPLETED},
        "tagged": {"tagIds": [str(tag)]},
        "private": {"visibility": NoteVisibility.PRIVATE},
        "long": {"summary": "elephants"},
    }
    for title, fields in kinds.items():
        await index_text(ctx, title, f"lease {title}", **fields)
    filters = {
        "done": NoteFilter(status=NoteStatus.COMPLETED),
        "tagged": NoteFilter(tag_ids=[tag]),
        "private": NoteFilter(visibility=NoteVisibility.PRIVATE),
        "long": NoteFilter(search="eleph"),
    }
    for title, note_filter in filters.items():
        assert titles(await hits(ctx, "lease", mode, note_filter=note_filter)) == [title]
    assert await hits(ctx, "lease", mode, note_filter=NoteFilter(status=NoteStatus.RECORDING)) == []
    assert len(await hits(ctx, "lease", mode)) == 5


async def test_a_filter_is_checked(fake: Context) -> None:
    never = NoteFilter(created_from=datetime(2026, 1, 2, tzinfo=UTC), created_to=datetime(2026, 1, 1, tzinfo=UTC))
    with refused(ErrorCode.UNPROCESSABLE, "createdFrom"):
        await search(fake, "x", note_filter=never)


async def test_two_vector_spaces(own_workspace: OwnWorkspace) -> None:
    """While notes are moved, each is searched in its own space; where that can't be had, by its words."""
    old, new = FakeEmbedder("old"), FakeEmbedder("new")
    before, after = embedding_with(own_workspace.ctx, old), embedding_with(own_workspace.ctx, new, old)
    await indexing.register_embedder(before)
    await index_text(before, "Old", "alpha")
    await index_text(before, "Other", "gamma")
    await indexing.register_embedder(after)
    await index_text(after, "New", "alpha beta")
    results = await hits(after, "alpha")
    assert (titles(results)[0], len(results)) == ("Old", 3)
    assert results[0].similarity == pytest.approx(1)
    assert (await hits(after, "alpha beta"))[0].document_title == "New"
    both = await hits(after, "alpha", SearchMode.HYBRID)
    assert (titles(both)[0], [hit.similarity is None for hit in both]) == ("Old", [False] * 3)
    lost = embedding_with(own_workspace.ctx, new)
    assert titles(await hits(lost, "alpha")) == ["New"]
    worded = await hits(lost, "alpha", SearchMode.HYBRID)
    assert {hit.document_title: hit.similarity is None for hit in worded} == {"Old": True, "New": False}
    # The old one fails: what it knows is found by words, and who asks for meanings gets the rest.
    failing = embedding_with(own_workspace.ctx, new, FakeEmbedder("old", failure=EmbedderMisconfigured("gone")))
    assert titles(await hits(failing, "alpha")) == ["New"]
    assert set(titles(await hits(failing, "alpha", SearchMode.HYBRID))) == {"Old", "New"}


@pytest.mark.parametrize("failure", [EmbedderUnavailable("away", 1.5), EmbedderMisconfigured("wrong")])
async def test_while_the_embedder_is_away_words_are_found(fake: Context, failure: Exception) -> None:
    await index_text(fake, "A", "the lease ends")
    await index_text(fake, "B", "nothing of it")
    away = embedding_with(fake, FakeEmbedder(failure=failure))
    with structlog.testing.capture_logs() as recorded:
        [hit] = await hits(away, "lease", SearchMode.HYBRID)
    assert (hit.document_title, hit.similarity, hit.highlight) == ("A", None, "the <mark>lease</mark> ends")
    assert recorded == [
        {"event": "search.embedder_failed", "embedders": {"fake": str(failure)}, "log_level": "warning"}
    ]
    assert titles(await hits(away, "lease", SearchMode.TEXT)) == ["A"]
    with refused(ErrorCode.UNAVAILABLE):
        await search(away, "lease", mode=SearchMode.SEMANTIC)


async def test_a_chunk_without_a_vector_is_found_by_its_words(fake: Context) -> None:
    ctx = embedding_with(fake, FakeEmbedder(refuses=["unspeakable"]))
    await index_text(ctx, "A", "unspeakable lease")
    await index_text(ctx, "B", "lease")
    results = {hit.document_title: hit.similarity is None for hit in await hits(ctx, "lease", SearchMode.HYBRID)}
    assert results == {"A": True, "B": False}
    assert titles(await hits(ctx, "lease")) == ["B"]


@pytest.mark.parametrize("mode", SearchMode)
async def test_what_is_gone_is_not_found_again(own_workspace: OwnWorkspace, mode: SearchMode) -> None:
    """Deleted, made private, no longer shared, forgotten: by the very next search."""
    admin = embedding_with(own_workspace.ctx, FakeEmbedder())
    member = embedding_with(await own_workspace.member(), FakeEmbedder())
    outsider = (await make_own_workspace(own_workspace.ctx)).ctx
    outsider = embedding_with(outsider, FakeEmbedder())
    note = await index_text(admin, "A", "the lease")
    await notes.share_note(admin, note.id, outsider.viewer.user_id)
    assert titles(await hits(outsider, "lease", mode, note_id=note.id)) == ["A"]
    assert titles(await hits(member, "lease", mode)) == ["A"]
    await notes.unshare_note(admin, note.id, outsider.viewer.user_id)
    with refused(ErrorCode.NOT_FOUND):
        await hits(outsider, "lease", mode, note_id=note.id)
    async with admin.transaction() as tx:
        await tx.execute(update(Note).where(col(Note.id) == note.id).values(visibility=NoteVisibility.PRIVATE))
    assert await hits(member, "lease", mode) == []
    assert titles(await hits(admin, "lease", mode)) == ["A"]
    await indexing.delete_chunks(admin, note.id)
    assert await hits(admin, "lease", mode) == []
    await indexing.index(admin, note.id, "the lease")
    assert titles(await hits(admin, "lease", mode)) == ["A"]
    await notes.delete_note(admin, note.id)
    assert await hits(admin, "lease", mode) == []
