"""`/api/v1/ai/embeddings`: indexing notes and searching them by meaning."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from models.base import Id, Prose
from resolvers import indexing
from resolvers.search import MAX_HITS, MAX_QUERY, search
from rest_compat import present
from rest_compat.ai_api import AI
from rest_compat.call import Call, reply


class ToIndex(BaseModel):
    document_id: Id
    content: Annotated[Prose, StringConstraints(min_length=1)]


class Wanted(BaseModel):
    query: Annotated[Prose, StringConstraints(min_length=1, max_length=MAX_QUERY)]
    document_id: Id
    top_k: Annotated[int, Field(ge=1, le=MAX_HITS)] = 5
    exclude_current_document: bool = False


async def index(call: Call) -> Response:
    wanted = call.sent(ToIndex)
    indexed = await indexing.index(call.ctx, wanted.document_id, wanted.content)
    return reply({"document_id": indexed.note_id, "chunks_indexed": indexed.chunks_indexed})


async def find(call: Call) -> Response:
    wanted = call.sent(Wanted)
    found = await search(
        call.ctx,
        wanted.query,
        first=wanted.top_k,
        note_id=wanted.document_id,
        exclude_note=wanted.exclude_current_document,
    )
    return reply({"document_id": wanted.document_id, "query": wanted.query, "results": present.hits(found)})


async def forget(call: Call) -> Response:
    await indexing.forget(call.ctx, call.ident("Note"))
    return Response(status_code=204)


ROUTES = [
    AI.route("/embeddings/index", POST=index),
    AI.route("/embeddings/search", POST=find),
    AI.route("/embeddings/{id}", DELETE=forget),
]
