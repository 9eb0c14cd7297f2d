"""What an operation reads: no more statements for more notes, no column that nobody asked for."""

import pytest

from models.base import Record
from models.folder import FolderDraft
from models.note_filter import NoteFilter, NoteOrder
from resolvers import notes
from resolvers.core.context import Context
from resolvers.notes import folders, tags
from resolvers.search import indexing
from tests.resolvers.embedders import FakeEmbedder, embedding_with
from tests.resolvers.helpers import OwnWorkspace, graphql, spoken, statements, write

LIST = """query($first: Int) { notes(first: $first) {
  nodes { id title tags { name } createdBy { name } }
} }"""


@pytest.fixture
async def fifty(own_workspace: OwnWorkspace) -> list[Record]:
    tags = [str(await own_workspace.tag(name)) for name in "abc"]
    writers = [own_workspace.ctx, *[await own_workspace.member() for _ in range(3)]]
    return [
        await write(writers[number % 4], str(number), tagIds=tags[: number % 4], transcripts=spoken("Hi"))
        for number in range(50)
    ]


async def test_a_list_with_its_relations_is_three_statements_for_any_number(me: Context, fifty: list[Record]) -> None:
    told: dict[int, list[str]] = {}
    for first in (5, 50):
        with statements(me) as told[first]:
            data = await graphql(me, LIST, first=first)
        assert [len(data["notes"]["nodes"]), len(told[first])] == [first, 3], told[first]
    tagged = sorted(len(node["tags"]) for node in data["notes"]["nodes"])
    assert tagged == [0] * 13 + [1] * 13 + [2] * 12 + [3] * 12
    assert {node["createdBy"]["name"] for node in data["notes"]["nodes"]} == {"Admin", "Someone"}


WIDE = """query($first: Int) { notes(first: $first) { nodes {
  id participants { name } tags { name } createdBy { name } sharedWith { name }
  folder { name memberCount parent { name memberCount } }
} } }"""


async def test_a_hundred_notes_with_all_their_relations(own_workspace: OwnWorkspace) -> None:
    """Notes, tags, writers, folders, shares, whom they are shared with, and the folders' parents: seven statements."""
    labels = [str(await own_workspace.tag(name)) for name in "abc"]
    readers = [await own_workspace.member() for _ in range(3)]
    top = await folders.create_folder(own_workspace.ctx, FolderDraft(name="Top"))
    inner = [
        await folders.create_folder(
            own_workspace.ctx, FolderDraft(name=name, parent_folder_id=top.id, is_private=name == "a")
        )
        for name in "abc"
    ]
    person = {"name": "Ann", "email": "ann@example.com"}
    for number in range(100):
        folder = str(inner[number % 3].id)
        note = await write(own_workspace.ctx, str(number), tagIds=labels, folderId=folder, participants=[person])
        await notes.share_note(own_workspace.ctx, note.id, readers[number % 3].viewer.user_id)
    for first in (3, 100):
        with statements(own_workspace.ctx) as told:
            [*nodes] = (await graphql(own_workspace.ctx, WIDE, first=first))["notes"]["nodes"]
        # What a big operation costs is taken from the caller's budget, which is no read.
        read = [statement for statement in told if "spend(" not in statement]
        assert [len(nodes), len(read)] == [first, 7], read
    assert all(len(node["tags"]) == 3 and len(node["sharedWith"]) == len(node["participants"]) == 1 for node in nodes)
    shown = {
        (node["folder"]["name"], node["folder"]["memberCount"], node["folder"]["parent"]["name"]) for node in nodes
    }
    assert shown == {("a", 1, "Top"), ("b", 4, "Top"), ("c", 4, "Top")}
    wanted, order = NoteFilter(folder_ids=[folder.id for folder in inner]), NoteOrder()
    for limit in (3, 100):
        with statements(own_workspace.ctx) as told:
            rows, _ = await notes.list_notes_by_offset(own_workspace.ctx, limit, 0, wanted, order)
            details = await notes.read_details(own_workspace.ctx, rows)
        assert [len(rows), len(details.tags), len(told)] == [limit, limit, 3], told


async def test_the_tags_and_folders_of_a_workspace_are_a_statement_each(own_workspace: OwnWorkspace) -> None:
    ctx = own_workspace.ctx
    for name in "abc":
        await own_workspace.tag(name)
        await folders.create_folder(ctx, FolderDraft(name=name))
    for read in (folders.list_folders, tags.list_tags):
        with statements(ctx) as told:
            assert len(await read(ctx)) == 3
        assert len(told) == 1


@pytest.mark.parametrize(
    ("selection", "read"),
    [
        ("nodes { id }", set[str]()),
        ("nodes { id contentText }", {"content_text"}),
        ("edges { cursor node { summary } }", {"summary"}),
        ("nodes { id } edges { node { enhancedNote } }", {"enhanced_note"}),
        ("nodes { renamed: userWrittenNote }", {"user_written_note"}),
        ("nodes { ...Part }", {"content_json"}),
        ("nodes { ... on Note { calendarEvent { id } } ... on Node { id } }", {"calendar_event"}),
        ("...Whole", {"participants"}),
        ("pageInfo { hasNextPage }", set[str]()),
    ],
)
async def test_only_what_was_selected_is_read(me: Context, selection: str, read: set[str]) -> None:
    await write(me)
    costly = {
        *("content_text", "content_json", "summary", "enhanced_note", "user_written_note", "participants"),
        *("calendar_event", "index_content", "words"),
    }
    parts = "fragment Part on Note { contentJson }" if "Part" in selection else ""
    parts += "fragment Whole on NoteConnection { nodes { participants { name } } }" if "Whole" in selection else ""
    with statements(me) as told:
        await graphql(me, f"{{ notes {{ {selection} }} }} {parts}")
    assert {column for column in costly if f"notes.{column}" in told[0]} == read


async def test_one_note_reads_only_what_was_selected(me: Context) -> None:
    note = await write(me)
    with statements(me) as told:
        await graphql(me, "query($id: ID!) { note(id: $id) { title summary } }", id=str(note.id))
    assert "notes.summary" in told[-1]
    assert "content_text" not in told[-1]


@pytest.mark.parametrize(
    ("selection", "counted"),
    [("nodes { id }", 0), ("totalCount", 1), ("nodes { id } totalCount pageInfo { endCursor }", 1)],
)
async def test_the_total_is_counted_only_when_selected(me: Context, selection: str, counted: int) -> None:
    await write(me)
    with statements(me) as told:
        await graphql(me, f"{{ notes {{ {selection} }} }}")
    assert sum("count(" in statement for statement in told) == counted


async def test_hits_of_a_search_load_their_notes_at_once(me: Context) -> None:
    ctx = embedding_with(me, FakeEmbedder())
    for number in range(6):
        await indexing.index(ctx, (await write(ctx, str(number))).id)
    counts = []
    for first in (1, 6):
        with statements(ctx) as told:
            query = 'query($first: Int) { search(query: "x", first: $first) { note { title tags { name } } } }'
            assert len((await graphql(ctx, query, first=first))["search"]) == first
        counts.append(len(told))
    assert counts == [7, 7]
