"""Search and indexing."""

from uuid import UUID

import strawberry

from models.base import Record
from resolvers import indexing, search
from schema.notes import Note
from schema.types import Info, ident


@strawberry.type
class SearchHit:
    note_id: strawberry.Private[UUID]
    chunk_index: int
    chunk_text: str
    is_current_note: bool
    score: float

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
    @strawberry.field(description="The chunks nearest in meaning, of the workspace of `noteId` or of the viewer's own.")
    @staticmethod
    async def search(
        info: Info,
        query: str,
        first: int | None = 5,
        note_id: strawberry.ID | None = None,
        exclude_note: bool | None = False,
    ) -> list[SearchHit]:
        found = await search.search(
            info.context.ctx,
            query,
            first=5 if first is None else first,
            note_id=ident("Note", note_id) if note_id is not None else None,
            exclude_note=bool(exclude_note),
        )
        return [
            SearchHit(
                note_id=hit.document_id,
                chunk_index=hit.chunk_index,
                chunk_text=hit.chunk_text,
                is_current_note=hit.document_id == found.current_note_id,
                score=hit.score,
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
        return await indexing.index(info.context.ctx, ident("Note", note_id), content)

    @strawberry.mutation(description="Takes the note out of the search until it is indexed again.")
    @staticmethod
    async def delete_embeddings(info: Info, note_id: strawberry.ID) -> strawberry.ID:
        await indexing.forget(info.context.ctx, ident("Note", note_id))
        return note_id
