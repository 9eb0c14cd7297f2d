"""A search while a note is indexed anew sees all of its old chunks or all of its new ones."""

import asyncio

import pytest

from models.search import SearchMode
from resolvers.search import indexing
from resolvers.search.query import search
from tests.resolvers.embedders import FakeEmbedder, embedding_with
from tests.resolvers.helpers import OwnWorkspace, with_limits, write
from tests.support.sizes import size

VERSIONS = size(12, 40)
PARTS = 6


@pytest.mark.soak
@pytest.mark.parametrize("even", [300, 0])
async def test_all_old_or_all_new(own_workspace: OwnWorkspace, monkeypatch: pytest.MonkeyPatch, even: int) -> None:
    monkeypatch.setattr("resolvers.search.query.scope.INDEX_BREAK_EVEN", even)
    ctx = embedding_with(with_limits(own_workspace.ctx, chunk_size=64, chunk_overlap=0), FakeEmbedder())
    note = await write(ctx, "A")

    def version(number: int) -> str:
        return "\n\n".join(f"lease version{number} part{part} {'of the text ' * 2}" for part in range(PARTS))

    await indexing.index(ctx, note.id, version(0))
    done = asyncio.Event()
    seen: set[str] = set()

    async def look(mode: SearchMode) -> None:
        while not done.is_set():
            hits = (await search(ctx, "lease", mode=mode, first=20)).hits
            versions = {hit.chunk_text.split()[1] for hit in hits}
            assert (len(versions), len(hits)) == (1, PARTS), hits
            seen.update(versions)

    async def change() -> None:
        for number in range(1, VERSIONS):
            await indexing.index(ctx, note.id, version(number))
        done.set()

    async with asyncio.TaskGroup() as group:
        for mode in SearchMode:
            group.create_task(look(mode))
        group.create_task(change())
    assert len(seen) > 1
