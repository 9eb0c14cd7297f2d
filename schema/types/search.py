"""Search and indexing."""

from uuid import UUID

import strawberry

from models.base import Record
from resolvers.search import indexing
from resolvers.search import query as search
from schema.types.base import Info, parse_id
from schema.types.enums import SearchMode, TextSource
from schema.types.note_inputs import NoteFilter
from schema.types.notes import Note, filter_draft

PLACE = "In characters of that text of the note as it was indexed; of a transcript its lines are `Speaker: text`."


@strawberry.type
class SearchHit:
    note_id: strawberry.Private[UUID]
    chunk_index: int
    chunk_text: str
    source: TextSource
    start_offset: int = strawberry.field(description=f"Where the chunk begins. {PLACE}")
    end_offset: int = strawberry.field(description=f"Where the chunk ends. {PLACE}")
    is_current_note: bool
    score: float = strawberry.field(description="Of use only to compare the hits of one search.")
    similarity: float | None = strawberry.field(
        description="max(0, 1 - cosine distance) to the query. Null where the query or the chunk has no vector."
    )
    highlight: str | None = strawberry.field(
        description="`chunkText` as HTML, with the query's words in `<mark>`; English stop words such as `is` only if "
        "the query has no other words. Null where the chunk has none of the words to mark."
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
        description="The best chunks, of the workspace of `noteId` or of the viewer's own: at most three of one note "
        "as long as other notes have hits."
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
        found = await search.search(
            info.context.ctx,
            query,
            mode=mode or SearchMode.HYBRID,
            first=5 if first is None else first,
            note_id=parse_id("Note", note_id) if note_id is not None else None,
            exclude_note=bool(exclude_note),
            wanted=filter_draft(filter),
        )
        return [
            SearchHit(
                note_id=hit.document_id,
                chunk_index=hit.chunk_index,
                chunk_text=hit.chunk_text,
                source=hit.source,
                start_offset=hit.start_offset,
                end_offset=hit.end_offset,
                is_current_note=hit.document_id == found.current_note_id,
                score=hit.score,
                similarity=hit.similarity,
                highlight=hit.highlight,
            )
            for hit in found.hits
        ]


@strawberry.type
class SearchMutation:
    @strawberry.mutation(
        graphql_type=IndexedNote, description="Indexes a text for the note; without `content` the note's own."
    )
    @staticmethod
    async def index_note(info: Info, note_id: strawberry.ID, content: str | None = None) -> indexing.Indexed:
        return await indexing.index(info.context.ctx, parse_id("Note", note_id), content)

    @strawberry.mutation(description="Takes the note out of the search until it is indexed again.")
    @staticmethod
    async def delete_embeddings(info: Info, note_id: strawberry.ID) -> strawberry.ID:
        await indexing.forget(info.context.ctx, parse_id("Note", note_id))
        return note_id
