"""Search, mostly with the embedder that Caret brings along."""

import uuid
from dataclasses import asdict

import pytest

from models import Role
from models.base import Record
from models.note import NoteVisibility
from models.search import SearchMode, TextSource
from resolvers import notes
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.ports.ai import EmbedderMisconfigured, EmbedderUnavailable
from resolvers.search import indexing
from resolvers.search.query import search
from tests.resolvers.embedders import FakeEmbedder, embedding_with
from tests.resolvers.helpers import (
    OwnWorkspace,
    change,
    make_own_workspace,
    refused,
    set_columns,
    statements,
    with_limits,
    write,
)

TEXTS = {
    "Facilities": "The heating in the Lisbon office is broken and the landlord ignores our letters.",
    "Lunch": "We will order pizza on Friday, with extra cheese.",
    "Budget": "Next year's budget grows by ten percent, most of it for hiring engineers.",
    "Security": "Somebody guessed an administrator's password; all passwords are changed this week.",
}


@pytest.fixture
async def filled(me: Context) -> dict[str, Record]:
    notes_by_title = {title: await write(me, title, summary=text) for title, text in TEXTS.items()}
    for note in notes_by_title.values():
        await indexing.index(me, note.id)
    return notes_by_title


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
    result = await search(me, query, mode=SearchMode.SEMANTIC)
    best = result.hits[0]
    assert asdict(best) == {
        "document_id": filled[title].id,
        "workspace_id": me.viewer.workspace_id,
        "chunk_index": 0,
        "chunk_text": f"{title}\n\n{TEXTS[title]}",
        "document_title": title,
        "source": TextSource.SUMMARY,
        "start_offset": 0,
        "end_offset": len(TEXTS[title]),
        "score": best.score,
        "similarity": best.score,
        "highlight": best.highlight,
    }
    scores = [hit.score for hit in result.hits]
    assert (len(scores), scores) == (4, sorted(scores, reverse=True))
    assert 0 <= scores[-1] < scores[0] <= 1
    assert result.current_note_id is None


async def test_the_modes(me: Context, filled: dict[str, Record]) -> None:
    """The words are in one note, the meaning is another's; both ways together have both, and all others behind them."""
    query = "Something to eat: our"
    hits_by_mode = {mode: (await search(me, query, mode=mode)).hits for mode in SearchMode}
    titles = {mode: [hit.document_title for hit in hits] for mode, hits in hits_by_mode.items()}
    assert (titles[SearchMode.SEMANTIC][0], len(titles[SearchMode.SEMANTIC])) == ("Lunch", 4)
    assert set(titles[SearchMode.TEXT]) == {"Facilities"}
    assert (set(titles[SearchMode.HYBRID][:2]), len(titles[SearchMode.HYBRID])) == ({"Facilities", "Lunch"}, 4)
    [worded] = hits_by_mode[SearchMode.TEXT]
    assert worded.similarity is None
    assert worded.score > 0
    near = {hit.document_id: hit.similarity for hit in hits_by_mode[SearchMode.SEMANTIC]}
    assert {hit.document_id: hit.similarity for hit in hits_by_mode[SearchMode.HYBRID]} == near
    ranks = [1 / (60 + 1 + titles[SearchMode.SEMANTIC].index(title)) for title in titles[SearchMode.HYBRID]]
    extra = [1 / 61 if title == "Facilities" else 0 for title in titles[SearchMode.HYBRID]]
    assert [hit.score for hit in hits_by_mode[SearchMode.HYBRID]] == pytest.approx(
        [rank + more for rank, more in zip(ranks, extra, strict=True)]
    )


async def test_around_a_note_and_without_it(me: Context, filled: dict[str, Record]) -> None:
    lunch = filled["Lunch"].id
    around = await search(me, "pizza", note_id=lunch)
    assert (around.hits[0].document_id, around.current_note_id, len(around.hits)) == (lunch, lunch, 4)
    without = await search(me, "pizza", note_id=lunch, exclude_note=True)
    assert (lunch in {hit.document_id for hit in without.hits}, len(without.hits)) == (False, 3)
    # Without a note there is none to leave out.
    assert len((await search(me, "pizza", exclude_note=True)).hits) == 4


async def test_the_scope_is_the_workspace_of_the_note(ctx: Context, own_workspace: OwnWorkspace) -> None:
    me, other = own_workspace.ctx, (await make_own_workspace(ctx)).ctx
    for here in (me, other):
        note = await write(here, "Lunch", summary=TEXTS["Lunch"])
        await indexing.index(here, note.id)
    assert [hit.workspace_id for hit in (await search(me, "pizza")).hits] == [me.viewer.workspace_id]
    for unreadable in (note.id, uuid.uuid4()):
        for mode in SearchMode:
            with refused(ErrorCode.NOT_FOUND):
                await search(me, "pizza", note_id=unreadable, mode=mode)


@pytest.mark.parametrize("mode", [SearchMode.SEMANTIC, SearchMode.HYBRID])
async def test_a_filter_costs_no_results(own_workspace: OwnWorkspace, mode: SearchMode) -> None:
    member = await own_workspace.member(Role.MEMBER)
    # Its vectors are taken for those of the embedder that is searched with.
    fake = FakeEmbedder(identity=own_workspace.ctx.embedder.identity)
    admin = embedding_with(with_limits(own_workspace.ctx, chunk_size=64, chunk_overlap=0), fake)
    note = await write(admin, "Pizza", visibility=NoteVisibility.PRIVATE)
    await indexing.index(admin, note.id, "".join(f"pizza {number:03}. " for number in range(600)))
    theirs = [await write(member, f"Mine {number}") for number in range(5)]
    for note in theirs:
        await indexing.index(member, note.id, "Something about the weather.")
    hits = (await search(member, "pizza", mode=mode, first=5)).hits
    assert {hit.document_id for hit in hits} == {note.id for note in theirs}
    assert len((await search(own_workspace.ctx, "pizza", mode=mode, first=20)).hits) == 20


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
    with refused(ErrorCode.BAD_USER_INPUT, field):
        await search(me, query, first=first)


@pytest.mark.parametrize(("query", "first"), [("x", 1), ("🙂" * 2_000, 20), (" ", 5)])
async def test_what_is_just_allowed(me: Context, filled: dict[str, Record], query: str, first: int) -> None:
    assert len((await search(me, query, first=first)).hits) == min(first, 4)


async def test_the_current_title_is_shown(me: Context, filled: dict[str, Record]) -> None:
    await change(me, filled["Lunch"], title="Dinner")
    [hit] = (await search(me, "pizza", first=1)).hits
    assert (hit.document_title, hit.chunk_text) == ("Dinner", f"Lunch\n\n{TEXTS['Lunch']}")


async def test_a_note_that_became_private_is_no_longer_found(own_workspace: OwnWorkspace) -> None:
    member = await own_workspace.member()
    note = await write(own_workspace.ctx, "Lunch", summary=TEXTS["Lunch"])
    await indexing.index(own_workspace.ctx, note.id)
    assert len((await search(member, "pizza")).hits) == 1
    await set_columns(own_workspace.ctx, note, visibility=NoteVisibility.PRIVATE)
    assert (await search(member, "pizza")).hits == []
    await notes.delete_note(own_workspace.ctx, note.id)
    assert (await search(own_workspace.ctx, "pizza")).hits == []


@pytest.mark.parametrize(
    "failure", [EmbedderUnavailable("http://secret/", retry_after=1.5), EmbedderMisconfigured("key sk-secret")]
)
async def test_without_an_embedder_the_answer_says_so(me: Context, failure: Exception) -> None:
    with pytest.raises(Problem) as caught:
        await search(embedding_with(me, FakeEmbedder(failure=failure)), "x", mode=SearchMode.SEMANTIC)
    wait = 2 if isinstance(failure, EmbedderUnavailable) else None
    assert (caught.value.code, caught.value.retry_after) == (ErrorCode.UNAVAILABLE, wait)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(("mode", "expected"), [(SearchMode.TEXT, 5), (SearchMode.SEMANTIC, 5), (SearchMode.HYBRID, 7)])
async def test_a_search_is_a_fixed_number_of_statements(
    me: Context, filled: dict[str, Record], mode: SearchMode, expected: int
) -> None:
    """The gate and the vector spaces; how much there is, what is near, how common the words are, what has them; and
    what is shown of all hits."""
    for first in (1, 4):
        with statements(me) as executed_statements:
            await search(me, "pizza and heating", mode=mode, first=first, note_id=filled["Lunch"].id)
        assert len(executed_statements) == expected, executed_statements
