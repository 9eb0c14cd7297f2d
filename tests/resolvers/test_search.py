"""Search by meaning, with the embedder that Caret brings along."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from caret.postgres import SESSION
from models import Role
from models.base import Record
from models.note import NoteVisibility
from resolvers import indexing, notes
from resolvers.context import Context, Database
from resolvers.errors import Code, Problem
from resolvers.intelligence import EmbedderMisconfigured, EmbedderUnavailable
from resolvers.search import search
from tests.resolvers.embedders import FakeEmbedder, embedding_with
from tests.resolvers.helpers import Place, change, make_place, refused, set_columns, statements, with_limits, write

TEXTS = {
    "Facilities": "The heating in the Lisbon office is broken and the landlord ignores our letters.",
    "Lunch": "We will order pizza on Friday, with extra cheese.",
    "Budget": "Next year's budget grows by ten percent, most of it for hiring engineers.",
    "Security": "Somebody guessed an administrator's password; all passwords are changed this week.",
}


@pytest.fixture
async def filled(me: Context) -> dict[str, Record]:
    made = {title: await write(me, title, summary=text) for title, text in TEXTS.items()}
    for note in made.values():
        await indexing.index(me, note.id)
    return made


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("cold rooms in Portugal", "Facilities"),
        ("something to eat", "Lunch"),
        ("how much money can we spend", "Budget"),
        ("were we hacked?", "Security"),
    ],
)
async def test_the_nearest_in_meaning_comes_first(
    me: Context, filled: dict[str, Record], query: str, title: str
) -> None:
    found = await search(me, query)
    best = found.hits[0]
    assert best._asdict() == {
        "document_id": filled[title].id,
        "workspace_id": me.me.workspace_id,
        "chunk_index": 0,
        "chunk_text": f"{title}\n\n{TEXTS[title]}",
        "document_title": title,
        "score": best.score,
    }
    scores = [hit.score for hit in found.hits]
    assert (len(scores), scores) == (4, sorted(scores, reverse=True))
    assert 0 <= scores[-1] < scores[0] <= 1
    assert found.current_note_id is None


async def test_around_a_note_and_without_it(me: Context, filled: dict[str, Record]) -> None:
    lunch = filled["Lunch"].id
    around = await search(me, "pizza", note_id=lunch)
    assert (around.hits[0].document_id, around.current_note_id, len(around.hits)) == (lunch, lunch, 4)
    without = await search(me, "pizza", note_id=lunch, exclude_note=True)
    assert (lunch in {hit.document_id for hit in without.hits}, len(without.hits)) == (False, 3)
    # Without a note there is none to leave out.
    assert len((await search(me, "pizza", exclude_note=True)).hits) == 4


async def test_the_scope_is_the_workspace_of_the_note(ctx: Context, place: Place) -> None:
    me, other = place.ctx, (await make_place(ctx)).ctx
    for here in (me, other):
        note = await write(here, "Lunch", summary=TEXTS["Lunch"])
        await indexing.index(here, note.id)
    assert [hit.workspace_id for hit in (await search(me, "pizza")).hits] == [me.me.workspace_id]
    for unreadable in (note.id, uuid.uuid4()):
        with refused(Code.NOT_FOUND):
            await search(me, "pizza", note_id=unreadable)


async def test_a_filter_costs_no_results(place: Place) -> None:
    member = await place.member(Role.MEMBER)
    admin = embedding_with(with_limits(place.ctx, chunk_size=8, chunk_overlap=0), FakeEmbedder())
    note = await write(admin, "Pizza", visibility=NoteVisibility.PRIVATE)
    await indexing.index(admin, note.id, "".join(f"pizza {number:02}" for number in range(60)))
    theirs = [await write(member, f"Mine {number}") for number in range(5)]
    for note in theirs:
        await indexing.index(member, note.id, "Something about the weather.")
    hits = (await search(member, "pizza", first=5)).hits
    assert {hit.document_id for hit in hits} == {note.id for note in theirs}
    assert len((await search(place.ctx, "pizza", first=20)).hits) == 20


@pytest.mark.parametrize(
    ("query", "first", "field"),
    [
        ("", 5, "query"),
        ("x" * 2_001, 5, "query"),
        ("\x00", 5, "query"),
        ("\ud800", 5, "query"),
        ("x", 0, "first"),
        ("x", -1, "first"),
        ("x", 21, "first"),
    ],
)
async def test_what_is_refused(me: Context, query: str, first: int, field: str) -> None:
    with refused(Code.BAD_USER_INPUT, field):
        await search(me, query, first=first)


@pytest.mark.parametrize(("query", "first"), [("x", 1), ("🙂" * 2_000, 20), (" ", 5)])
async def test_what_is_just_allowed(me: Context, filled: dict[str, Record], query: str, first: int) -> None:
    assert len((await search(me, query, first=first)).hits) == min(first, 4)


async def test_the_current_title_is_shown(me: Context, filled: dict[str, Record]) -> None:
    await change(me, filled["Lunch"], title="Dinner")
    [hit] = (await search(me, "pizza", first=1)).hits
    assert (hit.document_title, hit.chunk_text) == ("Dinner", f"Lunch\n\n{TEXTS['Lunch']}")


async def test_a_note_that_became_private_is_no_longer_found(place: Place) -> None:
    member = await place.member()
    note = await write(place.ctx, "Lunch", summary=TEXTS["Lunch"])
    await indexing.index(place.ctx, note.id)
    assert len((await search(member, "pizza")).hits) == 1
    await set_columns(place.ctx, note, visibility=NoteVisibility.PRIVATE)
    assert (await search(member, "pizza")).hits == []
    await notes.delete(place.ctx, note.id)
    assert (await search(place.ctx, "pizza")).hits == []


@pytest.mark.parametrize(
    "failure", [EmbedderUnavailable("http://secret/", retry_after=1.5), EmbedderMisconfigured("key sk-secret")]
)
async def test_without_an_embedder_the_answer_says_so(me: Context, failure: Exception) -> None:
    with pytest.raises(Problem) as caught:
        await search(embedding_with(me, FakeEmbedder(failure=failure)), "x")
    wait = 2 if isinstance(failure, EmbedderUnavailable) else None
    assert (caught.value.code, caught.value.retry_after) == (Code.UNAVAILABLE, wait)
    assert "secret" not in caught.value.message


async def test_a_search_is_a_fixed_number_of_statements(me: Context, filled: dict[str, Record]) -> None:
    counts = []
    for first in (1, 4):
        with statements(me) as told:
            await search(me, "pizza", first=first, note_id=filled["Lunch"].id)
        counts.append(len(told))
    assert counts == [3, 3]


@pytest.fixture
async def by_index(me: Context) -> AsyncIterator[Context]:
    """The planner asks the index of meanings wherever it can, as it does in a large table."""
    planner = dict.fromkeys(["enable_seqscan", "enable_bitmapscan", "enable_sort"], "off")
    settings = {"server_settings": {**SESSION, **planner}}
    opened = create_async_engine(me.database.engine.url, connect_args=settings)
    yield replace(me, database=Database(opened))
    await opened.dispose()


@pytest.mark.parametrize("compared", [5_000, 2])
async def test_the_same_text_in_many_chunks_hides_no_other(
    ctx: Context, by_index: Context, monkeypatch: pytest.MonkeyPatch, compared: int
) -> None:
    """Equal vectors have only each other as neighbours in the index, which then leads to nobody else."""
    monkeypatch.setattr("resolvers.search.COMPARED", compared)
    async with ctx.transaction() as tx:
        # The crowd comes first, so that it is where the index begins.
        await tx.execute(text("TRUNCATE document_embeddings"))
    other = embedding_with((await make_place(ctx)).ctx, FakeEmbedder())
    note = await write(other, "Crowd")
    await indexing.index(other, note.id, "x" * 448 * 400)
    for title, summary in TEXTS.items():
        await indexing.index(by_index, (await write(by_index, title, summary=summary)).id)
    hits = (await search(by_index, "something to eat", first=4)).hits
    assert [hit.document_title for hit in hits][:1] == ["Lunch"]
    assert len(hits) == 4


async def test_a_large_workspace_is_searched_by_its_index(
    me: Context, filled: dict[str, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.search.COMPARED", 3)
    with statements(me) as told:
        [hit] = (await search(me, "something to eat", first=1)).hits
    assert hit.document_title == "Lunch"
    # By comparison only if the index, which has a part of chance in it, leads to nothing.
    assert "ORDER BY document_embeddings.embedding <=>" in told[1]
    assert len(told) in {2, 3}
