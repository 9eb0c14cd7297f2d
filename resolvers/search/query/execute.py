"""Runs a search: checks who may search where, embeds the query, then does all reads in one snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import col

from models import Note
from models.base import storable
from models.limits import limit
from models.note_filter import NoteFilter
from models.search import SearchMode
from resolvers.auth import access
from resolvers.auth.access import Right
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import bad_input
from resolvers.notes.read import check_filter, filter_conditions
from resolvers.search.query import hits
from resolvers.search.query.fusion import fuse_rankings, select_page
from resolvers.search.query.scope import MAX_HITS, ChunkKey, Scope, chunk_key, is_large
from resolvers.search.query.semantic import QueryVector, embed_query_in_spaces, rank_by_meaning, read_vector_spaces
from resolvers.search.query.text import rank_by_words

MAX_QUERY = limit(2_000, "A search query", area="Search", unit="characters", beyond="`BAD_USER_INPUT`, 400", minimum=1)
NO_FILTER = NoteFilter()


@dataclass(frozen=True, slots=True)
class SearchResults:
    """The `hits` of a search, best first, and the note that it was made from."""

    hits: Sequence[hits.Hit]
    current_note_id: UUID | None


async def search(
    ctx: Context,
    query: str,
    *,
    mode: SearchMode = SearchMode.HYBRID,
    first: int = 5,
    note_id: UUID | None = None,
    exclude_note: bool = False,
    note_filter: NoteFilter = NO_FILTER,
    grouped: bool = True,
) -> SearchResults:
    """The best chunks of the workspace of `note_id`, or of the viewer's own, among the notes that match `note_filter`.

    The `score` of a hit is max(0, 1 - cosine distance) for SEMANTIC, a BM25 score for TEXT (see
    `resolvers.search.query.text`), and that of the two rankings fused for HYBRID. `grouped`: at most
    MAX_HITS_PER_NOTE hits are of one note while other notes have hits. If the embedder is not available, SEMANTIC
    raises UNAVAILABLE, and HYBRID ranks by words alone.
    """
    _check_arguments(query, first)
    check_filter(note_filter)
    async with ctx.read() as tx:
        workspace_id = await _find_workspace(ctx, tx, note_id)
        spaces = [] if mode is SearchMode.TEXT else await read_vector_spaces(ctx, tx)
    is_required = mode is SearchMode.SEMANTIC
    vectors = await embed_query_in_spaces(ctx, query, spaces, required=is_required) if spaces else []
    scope = Scope(workspace_id, (access.note_readable_by(ctx.viewer), *filter_conditions(ctx, note_filter)))
    if note_id is not None and exclude_note:
        scope = scope.within(col(Note.id) != note_id)
    async with ctx.snapshot() as tx:
        scores = await _score_chunks(tx, scope, query, vectors, mode, grouped=grouped)
        page = select_page(list(scores), first, grouped=grouped)
        read = await hits.read_hits(tx, scope, page, query, vectors)
    return SearchResults([_build_hit(read[chunk], scores[chunk], mode) for chunk in page], note_id)


async def _find_workspace(ctx: Context, tx: Transaction, note_id: UUID | None) -> UUID:
    if note_id is None:
        access.require_scope(ctx.viewer, "notes")
        return ctx.viewer.workspace_id
    workspace_id: UUID = (await access.require_note(tx, ctx.viewer, note_id, Right.READ)).workspace_id
    return workspace_id


async def _score_chunks(
    tx: Transaction, scope: Scope, query: str, vectors: Sequence[QueryVector], mode: SearchMode, *, grouped: bool
) -> Mapping[ChunkKey, float]:
    """The matching chunks with their scores, best first. For SEMANTIC the scores are read later, as similarities."""
    large = await is_large(tx, scope)
    by_meaning = await rank_by_meaning(tx, scope, vectors, large=large, grouped=grouped)
    if mode is SearchMode.SEMANTIC:
        return dict.fromkeys(by_meaning, 0.0)
    by_words = await rank_by_words(tx, scope, query, large=large, grouped=grouped)
    if mode is SearchMode.TEXT:
        return {chunk_key(row): row.score for row in by_words}
    return fuse_rankings(by_meaning, map(chunk_key, by_words))


def _build_hit(read: Mapping[str, object], score: float, mode: SearchMode) -> hits.Hit:
    final_score = read["similarity"] if mode is SearchMode.SEMANTIC else score
    return hits.Hit(**read, score=final_score)  # type: ignore[arg-type]  # the columns of one statement


def _check_arguments(query: str, first: int) -> None:
    if not 1 <= len(query) <= MAX_QUERY:
        raise bad_input("query", f"`query` must have between 1 and {MAX_QUERY} characters.")
    if not 1 <= first <= MAX_HITS:
        raise bad_input("first", f"`first` must be between 1 and {MAX_HITS}.")
    try:
        storable(query)
    except ValueError as error:
        raise bad_input("query", f"`query` {error}.") from None
