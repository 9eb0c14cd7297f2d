"""Search by words: how it ranks, whose words count, what a query may have in it, and what is marked."""

import math

import pytest

from models.note import NoteVisibility
from models.note_filter import NoteFilter
from models.search import SearchMode
from resolvers.core.context import Context
from resolvers.search import indexing
from resolvers.search.query import Hit, search
from tests.resolvers.embedders import FakeEmbedder, embedding_with
from tests.resolvers.helpers import OwnWorkspace, statements, with_limits, write


@pytest.fixture
def fake(own_workspace: OwnWorkspace) -> OwnWorkspace:
    """A workspace whose embedder knows nothing of meanings."""
    own_workspace.ctx = embedding_with(own_workspace.ctx, FakeEmbedder())
    return own_workspace


async def index_text(ctx: Context, title: str, content: str, **fields: object) -> None:
    note = await write(ctx, title, **fields)
    await indexing.index(ctx, note.id, content)


async def by_words(ctx: Context, query: str, first: int = 20) -> list[Hit]:
    return list((await search(ctx, query, mode=SearchMode.TEXT, first=first)).hits)


async def titles(ctx: Context, query: str) -> list[str]:
    return [hit.document_title for hit in await by_words(ctx, query)]


async def test_the_rarer_word_the_more_often_in_the_shorter_text(fake: OwnWorkspace) -> None:
    texts = {
        "often": "lease lease lease office",
        "once": "lease office chair table",
        "long": "lease office " + " ".join(f"thing{number}" for number in range(30)),
        "common": "office office office office",
        "other": "office table lamp door",
    }
    for title, text in texts.items():
        await index_text(fake.ctx, title, text)
    assert (await titles(fake.ctx, "the lease of an office"))[:4] == ["often", "once", "long", "common"]
    # A word's endings and accents are no matter, nor is its case.
    assert sorted(await titles(fake.ctx, "LEASES")) == sorted(["often", "once", "long"])
    assert await titles(fake.ctx, "lamps, dóor") == ["other"]
    assert await titles(fake.ctx, "nothing of it") == []


async def test_the_score_is_the_one_that_is_documented(fake: OwnWorkspace) -> None:
    small = with_limits(fake.ctx, chunk_size=128, chunk_overlap=0)
    # Two chunks, so that the note has more than each of them.
    two_chunks = await write(small, "whole")
    await indexing.index(small, two_chunks.id, f"{'alpha ' * 2}{'gamma ' * 15}\n\nbeta {'delta ' * 15}")
    await index_text(small, "one", "alpha beta")
    await index_text(small, "three", "epsilon zeta eta")

    def idf(having: int) -> float:
        return math.log(1 + (4 - having + 0.5) / (having + 0.5))

    def length(words: int) -> float:
        return 0.7 + 0.3 * words / ((2 + 2 + 2 + 3) / 4)

    def of_note(chunks: int) -> float:
        return 0.7 + 0.3 * chunks / (4 / 3)

    hits = await by_words(small, "alpha beta")
    scores = {(hit.document_title, hit.chunk_index): hit.score for hit in hits}
    alpha, beta, twice = idf(2), idf(2), 1 + 1 / 4
    both = (alpha * twice + beta) / of_note(2)
    assert scores == pytest.approx(
        {
            ("one", 0): (alpha + beta) / length(2) + (alpha + beta) / of_note(1),
            ("whole", 0): alpha * twice / length(2) + both,
            ("whole", 1): beta / length(2) + both,
        },
        rel=1e-5,
    )


async def test_what_others_wrote_privately_changes_no_score(fake: OwnWorkspace) -> None:
    member = await fake.member()
    member = embedding_with(member, FakeEmbedder())
    for number in range(3):
        await index_text(fake.ctx, f"Open {number}", f"lease number{number}")
    modes = (SearchMode.TEXT, SearchMode.HYBRID)
    before = [(await search(member, "lease number1", mode=mode)).hits for mode in modes]
    own = await by_words(fake.ctx, "lease number1")
    for number in range(5):
        await index_text(fake.ctx, f"Secret {number}", "lease number1", visibility=NoteVisibility.PRIVATE)
    assert [(await search(member, "lease number1", mode=mode)).hits for mode in modes] == before
    assert await by_words(fake.ctx, "lease number1") != own


async def test_in_a_large_workspace_too(fake: OwnWorkspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a sample tells how common words are, and only chunks with rare words are put in order."""
    for number in range(12):
        await index_text(fake.ctx, f"Note {number}", f"lease common number{number}")
    for number in range(2):
        await index_text(fake.ctx, f"Secret {number}", "lease number1", visibility=NoteVisibility.PRIVATE)
    member = embedding_with(await fake.member(), FakeEmbedder())
    monkeypatch.setattr("resolvers.search.query.scope.INDEX_BREAK_EVEN", 0)
    assert (await titles(member, "number3 common"))[0] == "Note 3"
    with statements(member) as executed_statements:
        [*most] = await titles(member, "common lease")
    assert (len(most), len(executed_statements)) == (12, 4)
    monkeypatch.setattr("resolvers.search.query.text.SAMPLE", 6)
    # What the sample lacks is rare, and not absent.
    assert [(await titles(member, f"common number{number}"))[0] for number in range(12)] == [
        f"Note {number}" for number in range(12)
    ]
    monkeypatch.setattr("resolvers.search.query.text.SAMPLE", 1)
    # Nor does it matter that the sample has nothing of what the filter keeps.
    for number in range(12):
        hits = (
            await search(member, "lease", mode=SearchMode.TEXT, note_filter=NoteFilter(search=f"note {number}"))
        ).hits
        assert f"Note {number}" in {hit.document_title for hit in hits}
    monkeypatch.setattr("resolvers.search.query.text.SAMPLE", 6)
    monkeypatch.setattr("resolvers.search.query.text.CANDIDATES", 4)
    # Every word is too common: those that have all of them come first, then some that have the rarest.
    assert len(await titles(member, "common lease")) == 4
    assert (await titles(member, "common lease number3"))[0] == "Note 3"


@pytest.mark.parametrize(
    "query",
    [
        " ".join(f"w{number}" for number in range(300)),
        "?!.,;:-_()[]{}<>|&*~^%$#@+=/" * 20,
        "'",
        "\\",
        "''\\'\\\\' & | ! <-> :* it's \\'",
        "会議室の鍵はどこですか",
        "🙂" * 2_000,
        "é" * 2_000,
        "\u0300\u0301",
        "\ue000 \ue001",
        "http://user:pw@example.com/a?b=c#d mail@example.com 12.5e300 -7 C:\\temp\\x <b class='x'>bold</b> &amp;",
        "\t\n\r\x0b\x0c\x1f\x7f\u2028",
        "a" * 2_000,
    ],
)
async def test_any_query_is_answered(fake: OwnWorkspace, query: str) -> None:
    await index_text(fake.ctx, "A", "it's a C:\\temp\\x: 会議室 🙂 http://user:pw@example.com/a?b=c#d word7 ' \\ ''")
    for mode in SearchMode:
        hits = (await search(fake.ctx, query, mode=mode)).hits
        assert len(hits) == 1 or mode is SearchMode.TEXT
        assert all("<mark" in hit.highlight for hit in hits if hit.highlight)
    assert len(query) <= 2_000


@pytest.mark.parametrize(
    ("content", "query", "highlight"),
    [
        ("We lease it; leases end.", "leased", "We <mark>lease</mark> it; <mark>leases</mark> end."),
        ("<script>so()</script> so", "so", "&lt;script&gt;so()&lt;/script&gt; <mark>so</mark>"),
        (
            'Alert <b>them</b> & "so"',
            "so them",
            "Alert &lt;b&gt;<mark>them</mark>&lt;/b&gt; &amp; &quot;<mark>so</mark>&quot;",
        ),
        ("Das Café, die CAFÉS.", "cafe", "Das <mark>Café</mark>, die <mark>CAFÉS</mark>."),
        ("会議室 の 鍵", "会議室", "<mark>会議室</mark> の 鍵"),
        ("🙂🙂 key 🙂 keys", "key", "🙂🙂 <mark>key</mark> 🙂 <mark>keys</mark>"),
        ("\ue000a\ue001 key \ue001b\ue000", "key", "\ue000a\ue001 <mark>key</mark> \ue001b\ue000"),
        ("Mail x@example.com now", "x@example.com", "Mail <mark>x@example.com</mark> now"),
        ("It is state-of-the-art", "art", "It is state-of-the-<mark>art</mark>"),
        ("No word of it", "something", None),
        ("Only this: it's O'Neill's", "o'neill", "Only this: it&#x27;s <mark>O</mark>&#x27;<mark>Neill</mark>&#x27;s"),
        (
            "What is the plan? It is on the wall.",
            "what is on the wall",
            "What is the plan? It is on the <mark>wall</mark>.",
        ),
        ("It is on.", "is it on the wall?", None),
        ("The doe does.", "what does a doe do", "The <mark>doe</mark> <mark>does</mark>."),
        ("It will be so", "will it", "<mark>It</mark> <mark>will</mark> be so"),
        ("a  b\tc\n\nd", "c", "a  b\t<mark>c</mark>\n\nd"),
    ],
)
async def test_highlights(fake: OwnWorkspace, content: str, query: str, highlight: str | None) -> None:
    note = await write(fake.ctx, "Title")
    await indexing.index(fake.ctx, note.id, content)
    for mode in (SearchMode.HYBRID, SearchMode.SEMANTIC):
        [hit] = (await search(fake.ctx, query, mode=mode)).hits
        lead = hit.chunk_text.removesuffix(content)
        assert hit.highlight == (highlight and lead + highlight)


async def test_a_highlight_is_the_text_whatever_is_in_it(fake: OwnWorkspace) -> None:
    """What Postgres takes for a tag, an entity, a host or a path is there once, and nothing is missing."""
    content = (
        "key <a href='http://x.example/a/b.html?q=1'>x</a> &lt;&#60; www.example.com/path/file.txt 1.5e-7 -12 v2.0 "
        "well-known-fact 12-ab /usr/local/bin ../x foo_bar a.b.c user+tag@mail.example ftp://f.example <!-- c --> <br/>"
    )
    await index_text(fake.ctx, "T", content)
    query = "key x example path www.example.com well known fact foo_bar local bin v2.0"
    [hit] = await by_words(fake.ctx, query)
    assert hit.highlight is not None
    plain = hit.highlight.replace("<mark>", "").replace("</mark>", "")
    for sign, written in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#x27;", "'"), ("&amp;", "&")):
        plain = plain.replace(sign, written)
    assert plain == hit.chunk_text


async def test_a_text_that_postgres_shortens_has_no_highlight(fake: OwnWorkspace) -> None:
    fake.ctx = with_limits(fake.ctx, chunk_size=8_000)
    await index_text(fake.ctx, "T", f"key {'x' * 3_000} key")
    [hit] = await by_words(fake.ctx, "key")
    assert (len(hit.chunk_text), hit.highlight) == (3_008, None)
