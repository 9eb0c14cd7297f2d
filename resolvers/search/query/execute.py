"""The search itself: who may ask, the query's vectors, then all reads of one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import col

from models import Note
from models.base import storable
from models.note_filter import NoteFilter
from models.search import SearchMode
from resolvers.auth import access
from resolvers.auth.access import Right
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import bad_input
from resolvers.notes.read import checked as checked_filter
from resolvers.notes.read import kept
from resolvers.search.query import hits
from resolvers.search.query.fusion import fused, page
from resolvers.search.query.scope import MAX_HITS, Key, Scope, is_large, key
from resolvers.search.query.semantic import Question, asked, by_meaning, spaces
from resolvers.search.query.text import by_words

MAX_QUERY = 2_000
"""Characters of a query."""
EVERYTHING = NoteFilter()


@dataclass(frozen=True, slots=True)
class Found:
    """`hits`: the chunks, best first."""

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
    wanted: NoteFilter = EVERYTHING,
    grouped: bool = True,
) -> Found:
    """The best chunks of the note's workspace, or of the viewer's own without a note, of notes that `wanted` keeps.

    `score`: SEMANTIC max(0, 1 - cosine distance); TEXT as `words` tells; HYBRID that of the two rankings fused.
    Grouped, at most three chunks are of one note as long as others have hits. While the embedder is away SEMANTIC
    raises UNAVAILABLE, and HYBRID finds by words alone.
    """
    checked(query, first)
    checked_filter(wanted)
    async with ctx.read() as tx:
        workspace_id = await _workspace(ctx, tx, note_id)
        known = [] if mode is SearchMode.TEXT else await spaces(ctx, tx)
    questions = await asked(ctx, query, known, needed=mode is SearchMode.SEMANTIC) if known else []
    scope = Scope(workspace_id, (access.note_readable_by(ctx.viewer), *kept(ctx, wanted)))
    if note_id is not None and exclude_note:
        scope = scope.within(col(Note.id) != note_id)
    async with ctx.snapshot() as tx:
        scores = await _scores(tx, scope, query, questions, mode, grouped=grouped)
        chosen = page(list(scores), first, grouped=grouped)
        read = await hits.read(tx, scope, chosen, query, questions)
    return Found([_hit(read[chunk], scores[chunk], mode) for chunk in chosen], note_id)


async def _workspace(ctx: Context, tx: Transaction, note_id: UUID | None) -> UUID:
    if note_id is None:
        access.require_scope(ctx.viewer, "notes")
        return ctx.viewer.workspace_id
    workspace_id: UUID = (await access.require_note(tx, ctx.viewer, note_id, Right.READ)).workspace_id
    return workspace_id


async def _scores(
    tx: Transaction, scope: Scope, query: str, questions: Sequence[Question], mode: SearchMode, *, grouped: bool
) -> Mapping[Key, float]:
    """The chunks that were found, best first; for SEMANTIC their scores are their similarities, read later."""
    large = await is_large(tx, scope)
    near = await by_meaning(tx, scope, questions, large=large, grouped=grouped)
    if mode is SearchMode.SEMANTIC:
        return dict.fromkeys(near, 0.0)
    worded = await by_words(tx, scope, query, large=large, grouped=grouped)
    if mode is SearchMode.TEXT:
        return {key(row): row.score for row in worded}
    return fused(near, map(key, worded))


def _hit(read: Mapping[str, object], score: float, mode: SearchMode) -> hits.Hit:
    shown = read["similarity"] if mode is SearchMode.SEMANTIC else score
    return hits.Hit(**read, score=shown)  # type: ignore[arg-type]  # the columns of one statement


def checked(query: str, first: int) -> None:
    if not 1 <= len(query) <= MAX_QUERY:
        raise bad_input("query", f"`query` must have between 1 and {MAX_QUERY} characters.")
    if not 1 <= first <= MAX_HITS:
        raise bad_input("first", f"`first` must be between 1 and {MAX_HITS}.")
    try:
        storable(query)
    except ValueError as error:
        raise bad_input("query", f"`query` {error}.") from None
