"""`/api/v1/ai/embeddings`: indexing notes and searching them by meaning."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from models.base import Id, Prose
from models.search import SearchMode
from resolvers.search import indexing
from resolvers.search.query import MAX_HITS, MAX_QUERY, search
from rest_compat import serializers
from rest_compat.ai_api import AI
from rest_compat.ai_shapes import Indexed, Results
from rest_compat.operations import does, removes
from rest_compat.request import Call


class ToIndex(BaseModel):
    document_id: Id
    content: Annotated[Prose, StringConstraints(min_length=1)]


class Wanted(BaseModel):
    query: Annotated[Prose, StringConstraints(min_length=1, max_length=MAX_QUERY)]
    document_id: Id
    top_k: Annotated[int, Field(ge=1, le=MAX_HITS)] = 5
    exclude_current_document: bool = False


async def index(call: Call, body: ToIndex) -> Indexed:
    """Indexes a text for a document, in the place of its own."""
    indexed = await indexing.index(call.ctx, body.document_id, body.content)
    return {"document_id": indexed.note_id, "chunks_indexed": indexed.chunks_indexed}


async def find(call: Call, body: Wanted) -> Results:
    """Searches the document's workspace by meaning."""
    found = await search(
        call.ctx,
        body.query,
        mode=SearchMode.SEMANTIC,
        first=body.top_k,
        note_id=body.document_id,
        exclude_note=body.exclude_current_document,
        grouped=False,
    )
    return {"document_id": body.document_id, "query": body.query, "results": serializers.hits(found)}


async def forget(call: Call) -> None:
    """Takes a document out of the search until it is indexed again."""
    await indexing.forget(call.ctx, call.ident("Note"))


ROUTES = [
    AI.route("/embeddings/index", POST=does(index, refuses=[503])),
    AI.route("/embeddings/search", POST=does(find, refuses=[503])),
    AI.route("/embeddings/{id}", DELETE=removes(forget, 204)),
]
