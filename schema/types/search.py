"""Search and indexing."""

from uuid import UUID

import strawberry

from models.base import Record
from resolvers.search import indexing
from resolvers.search import query as search
from schema.types.base import Info, parse_id
from schema.types.enums import SearchMode, TextSource
from schema.types.notes import Note, NoteFilter, filter_draft

OFFSET = (
    "In characters of the indexed text that `source` names. In a transcript, each segment is a line `Speaker: text`."
)


@strawberry.type
class SearchHit:
    note_id: strawberry.Private[UUID]
    chunk_index: int
    chunk_text: str
    source: TextSource
    start_offset: int = strawberry.field(description=f"Where the chunk begins. {OFFSET}")
    end_offset: int = strawberry.field(description=f"Where the chunk ends. {OFFSET}")
    is_current_note: bool
    score: float = strawberry.field(description="Only comparable among the hits of one search.")
    similarity: float | None = strawberry.field(
        description="max(0, 1 - cosine distance) to the query. Null if the query or the chunk has no vector."
    )
    highlight: str | None = strawberry.field(
        description="`chunkText` as HTML, with the query's words in `<mark>`; English stop words such as `is` only if "
        "the query has no other words. Null if the chunk has none of the words to mark."
    )

    @strawberry.field(graphql_type=Note)
    async def note(self, info: Info) -> Record | None:
        return await info.context.loaders.note.load(self.note_id)


@strawberry.type
class IndexedNote:
    chunks_indexed: int
    chunks_embedded: int

    @strawberry.field(graphql_type=Note)
    @staticmethod
    async def note(root: strawberry.Parent[indexing.Indexed], info: Info) -> Record | None:
        return await info.context.loaders.note.load(root.note_id)


@strawberry.type
class SearchQuery:
    @strawberry.field(
        description="The best chunks in the workspace of the note `noteId`, or in the viewer's workspace. A note has "
        "at "
        "most three hits as long as other notes have hits."
    )
    @staticmethod
    async def search(
        info: Info,
        query: str,
        first: int | None = 5,
        mode: SearchMode | None = SearchMode.HYBRID,
        note_id: strawberry.ID | None = None,
        exclude_note: bool | None = False,
        filter: NoteFilter | None = None,  # noqa: A002 (the contract's name)
    ) -> list[SearchHit]:
        result = await search.search(
            info.context.ctx,
            query,
            mode=mode or SearchMode.HYBRID,
            first=5 if first is None else first,
            note_id=parse_id("Note", note_id) if note_id is not None else None,
            exclude_note=bool(exclude_note),
            note_filter=filter_draft(filter),
        )
        return [
            SearchHit(
                note_id=hit.document_id,
                chunk_index=hit.chunk_index,
                chunk_text=hit.chunk_text,
                source=hit.source,
                start_offset=hit.start_offset,
                end_offset=hit.end_offset,
                is_current_note=hit.document_id == result.current_note_id,
                score=hit.score,
                similarity=hit.similarity,
                highlight=hit.highlight,
            )
            for hit in result.hits
        ]


@strawberry.type
class SearchMutation:
    @strawberry.mutation(
        graphql_type=IndexedNote,
        description="Indexes `content` for the note, or the note's own text without `content`.",
    )
    @staticmethod
    async def index_note(info: Info, note_id: strawberry.ID, content: str | None = None) -> indexing.Indexed:
        return await indexing.index(info.context.ctx, parse_id("Note", note_id), content)

    @strawberry.mutation(description="Removes the note from search until it is indexed again.")
    @staticmethod
    async def delete_embeddings(info: Info, note_id: strawberry.ID) -> strawberry.ID:
        await indexing.delete_chunks(info.context.ctx, parse_id("Note", note_id))
        return note_id
