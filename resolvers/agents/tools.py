"""The tools of the agents. A tool's docstring is its description in the model's request.

Tools read with the rights of the viewer. One creates a suggestion; none can write a note.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from pydantic_ai import ModelRetry, RunContext, Tool, ToolFailed, ToolReturn

from models.base import strip_unstorable
from models.conversation import MAX_CONTEXT
from models.limits import limit
from resolvers import notes
from resolvers.agents import text_statistics
from resolvers.conversations import suggestions
from resolvers.core.errors import Problem
from resolvers.core.ports.agents import ReplyRequest, ReplySink
from resolvers.search.query import MAX_HITS, search

MAX_DOCUMENT_CHARACTERS = limit(
    MAX_CONTEXT,
    "A document that a tool reads, or that it may propose to replace",
    area="Agents",
    unit="characters",
    beyond="it is cut; it can't be replaced",
)
NOTE_TEXTS = ("user_written_note", "summary", "enhanced_note")
UNREADABLE = "The document can't be read any more."


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """What the tools of one reply work on."""

    request: ReplyRequest
    sink: ReplySink


ToolContext = RunContext[AgentTurn]


async def get_document_content(run: ToolContext) -> ToolReturn[Any]:
    """The exact text of the document that is open in the editor."""
    text = await _read_document(run.deps.request)
    result: dict[str, Any] = {"text": text[:MAX_DOCUMENT_CHARACTERS]}
    if len(text) > MAX_DOCUMENT_CHARACTERS:
        result["characters_left_out"] = len(text) - MAX_DOCUMENT_CHARACTERS
    return ToolReturn(result, metadata=_format_count(len(text), "character"))


async def get_selection_content(run: ToolContext) -> ToolReturn[Any]:
    """The exact text that the user has selected in the editor; null where nothing is selected."""
    document = run.deps.request.document
    selection = document.selection if document is not None else None
    if selection is None:
        return ToolReturn({"text": None}, metadata="Nothing is selected")
    result = {"text": selection.text, "from": selection.from_, "to": selection.to}
    return ToolReturn(result, metadata=_format_count(len(selection.text), "character"))


async def propose_document_replacement(run: ToolContext, proposed_text: str) -> ToolReturn[Any]:
    """Proposes another text for the whole open document. The user sees it and decides; until then nothing changes.

    Args:
        proposed_text: The whole new text of the document, with the parts that stay as they are.
    """
    request, text = run.deps.request, strip_unstorable(proposed_text)
    if not text.strip():
        raise ModelRetry("`proposed_text` is empty: it must be the whole new text of the document.")
    if len(text) > MAX_DOCUMENT_CHARACTERS:
        raise ModelRetry(f"`proposed_text` has {len(text)} characters: it may have {MAX_DOCUMENT_CHARACTERS} at most.")
    original = await _read_document(request)
    if len(original) > MAX_DOCUMENT_CHARACTERS:
        limit_text = f"The document has more than {MAX_DOCUMENT_CHARACTERS} characters"
        raise ToolFailed(f"{limit_text}: it is too long to be replaced as a whole.")
    try:
        suggestion = await suggestions.propose_suggestion(
            request.ctx,
            conversation_id=request.conversation_id,
            note_id=request.note_id,
            message_id=request.reply_id,
            proposed_text=text,
            original_text=original,
            position_start=0,
            position_end=len(original),
        )
    except Problem as problem:
        raise ModelRetry(problem.message) from problem
    await run.deps.sink.write_suggestion(suggestion)
    return ToolReturn("Proposed. The user decides whether to apply it.", metadata="Proposed")


async def search_workspace_context(
    run: ToolContext,
    query: str,
    exclude_current_document: bool = False,
    top_k: Annotated[int, Field(ge=1, le=MAX_HITS)] = 5,
) -> ToolReturn[Any]:
    """Searches all notes of the workspace, by meaning and by words.

    Args:
        query: What to look for, in plain words.
        exclude_current_document: Leave out the document that is open.
        top_k: How many passages to return.
    """
    request = run.deps.request
    note_id = request.note_id
    try:
        results = await search(request.ctx, query, first=top_k, note_id=note_id, exclude_note=exclude_current_document)
    except Problem as problem:
        raise ModelRetry(problem.message) from problem
    hits = [
        {
            "title": hit.document_title,
            "chunk_index": hit.chunk_index,
            "text": hit.chunk_text,
            "note_id": str(hit.document_id),
            "score": round(hit.score, 4),
        }
        for hit in results.hits
    ]
    return ToolReturn(hits, metadata=_format_count(len(hits), "passage"))


async def count_words(run: ToolContext) -> ToolReturn[Any]:
    """Counts the words of the open document. Each Chinese or Japanese character counts as one."""
    return await _count_document(run, text_statistics.count_words, "word")


async def count_characters(run: ToolContext) -> ToolReturn[Any]:
    """Counts the characters of the open document as a reader sees them, with spaces."""
    return await _count_document(run, text_statistics.count_characters, "character")


async def count_paragraphs(run: ToolContext) -> ToolReturn[Any]:
    """Counts the paragraphs of the open document."""
    return await _count_document(run, text_statistics.count_paragraphs, "paragraph")


async def count_sentences(run: ToolContext) -> ToolReturn[Any]:
    """Counts the sentences of the open document."""
    return await _count_document(run, text_statistics.count_sentences, "sentence")


async def estimate_reading_time(
    run: ToolContext, words_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 200
) -> ToolReturn[Any]:
    """How long it takes to read the open document, in whole minutes.

    Args:
        words_per_minute: How fast it is read.
    """
    # In a thread, because counting a long text would block the event loop.
    words = await asyncio.to_thread(text_statistics.count_words, await _read_document(run.deps.request))
    minutes = math.ceil(words / words_per_minute)
    return ToolReturn({"words": words, "minutes": minutes}, metadata=_format_count(minutes, "minute"))


async def _count_document(run: ToolContext, count: Callable[[str], int], unit: str) -> ToolReturn[Any]:
    number = await asyncio.to_thread(count, await _read_document(run.deps.request))
    return ToolReturn(number, metadata=_format_count(number, unit))


async def _read_document(request: ReplyRequest) -> str:
    """Returns the document that was sent with the message, else the note's current text.

    Raises ToolFailed if the viewer may no longer read the note.
    """
    document = request.document
    if document is not None and document.content_text is not None:
        return document.content_text
    try:
        row = await notes.get_note(request.ctx, request.note_id, {"content_text", *NOTE_TEXTS})
    except Problem as problem:
        raise ToolFailed(UNREADABLE) from problem
    if row.content_text.strip():
        return str(row.content_text)
    return "\n\n".join(text for name in NOTE_TEXTS if (text := getattr(row, name)).strip())


def _format_count(number: int, unit: str) -> str:
    return f"{number:,} {unit}" if number == 1 else f"{number:,} {unit}s"


READING_TOOLS: list[Tool[AgentTurn]] = [
    Tool(tool)
    for tool in (
        get_document_content,
        get_selection_content,
        search_workspace_context,
        count_words,
        count_characters,
        count_paragraphs,
        count_sentences,
        estimate_reading_time,
    )
]
# Sequential, because of two proposals at once the second supersedes the first, in the order of the calls.
PROPOSING_TOOL: Tool[AgentTurn] = Tool(propose_document_replacement, sequential=True)
