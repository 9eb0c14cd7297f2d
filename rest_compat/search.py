"""`/api/v1/ai/embeddings`: indexing notes and searching them by meaning."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from models.base import Id, Prose
from models.search import SearchMode
from resolvers.search import indexing
from resolvers.search.query import MAX_HITS, MAX_QUERY, search
from rest_compat import serializers
from rest_compat.ai_api import AI
from rest_compat.ai_shapes import IndexResponse, SearchResponse
from rest_compat.operations import action_operation, delete_operation
from rest_compat.request import Call


class IndexBody(BaseModel):
    document_id: Id
    content: Annotated[Prose, StringConstraints(min_length=1)]


class SearchBody(BaseModel):
    query: Annotated[Prose, StringConstraints(min_length=1, max_length=MAX_QUERY)]
    document_id: Id
    top_k: Annotated[int, Field(ge=1, le=MAX_HITS)] = 5
    exclude_current_document: bool = False


async def index(call: Call, body: IndexBody) -> IndexResponse:
    """Indexes a text for a document, in place of the document's own text."""
    indexed = await indexing.index(call.ctx, body.document_id, body.content)
    return {"document_id": indexed.note_id, "chunks_indexed": indexed.chunks_indexed}


async def search_documents(call: Call, body: SearchBody) -> SearchResponse:
    """Searches the document's workspace by meaning."""
    result = await search(
        call.ctx,
        body.query,
        mode=SearchMode.SEMANTIC,
        first=body.top_k,
        note_id=body.document_id,
        exclude_note=body.exclude_current_document,
        grouped=False,
    )
    return {"document_id": body.document_id, "query": body.query, "results": serializers.search_results(result)}


async def remove(call: Call) -> None:
    """Removes a document from the search until it is indexed again."""
    await indexing.delete_chunks(call.ctx, call.path_id("Note"))


ROUTES = [
    AI.route("/embeddings/index", POST=action_operation(index, more_errors=[503])),
    AI.route("/embeddings/search", POST=action_operation(search_documents, more_errors=[503])),
    AI.route("/embeddings/{id}", DELETE=delete_operation(remove, 204)),
]
