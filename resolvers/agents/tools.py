"""The tools of the agents. Their docstrings are what a model is told of them. They read with the rights of who asks;
the one that proposes makes a suggestion, and none can write a note."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from pydantic_ai import ModelRetry, RunContext, Tool, ToolFailed, ToolReturn

from models.base import mended
from models.conversation import MAX_CONTEXT, AgentType
from resolvers import notes
from resolvers.agents import text_statistics
from resolvers.conversations import suggestions
from resolvers.core.errors import Problem
from resolvers.core.ports.agents import ReplyRequest, ReplySink
from resolvers.search.query import MAX_HITS, search

SHOWN = MAX_CONTEXT
"""Characters of a document that a tool shows to a model, and of one that it may propose to replace."""
NOTE_TEXTS = ("user_written_note", "summary", "enhanced_note")
UNREADABLE = "The document can't be read any more."


@dataclass(frozen=True, slots=True)
class Turn:
    question: ReplyRequest
    sink: ReplySink


Run = RunContext[Turn]


async def get_document_content(run: Run) -> ToolReturn[Any]:
    """The exact text of the document that is open in the editor."""
    text = await _document(run.deps.question)
    shown: dict[str, Any] = {"text": text[:SHOWN]}
    if len(text) > SHOWN:
        shown["characters_left_out"] = len(text) - SHOWN
    return ToolReturn(shown, metadata=_quantity(len(text), "character"))


async def get_selection_content(run: Run) -> ToolReturn[Any]:
    """The exact text that the user has selected in the editor; null where nothing is selected."""
    document = run.deps.question.document
    selection = document.selection if document is not None else None
    if selection is None:
        return ToolReturn({"text": None}, metadata="Nothing is selected")
    shown = {"text": selection.text, "from": selection.from_, "to": selection.to}
    return ToolReturn(shown, metadata=_quantity(len(selection.text), "character"))


async def propose_document_replacement(run: Run, proposed_text: str) -> ToolReturn[Any]:
    """Proposes another text for the whole open document. The user sees it and decides; until then nothing changes.

    Args:
        proposed_text: The whole new text of the document, with the parts that stay as they are.
    """
    question, text = run.deps.question, mended(proposed_text)
    if not text.strip():
        raise ModelRetry("`proposed_text` is empty: it must be the whole new text of the document.")
    if len(text) > SHOWN:
        raise ModelRetry(f"`proposed_text` has {len(text)} characters: it may have {SHOWN} at most.")
    original = await _document(question)
    if len(original) > SHOWN:
        raise ToolFailed(f"The document has more than {SHOWN} characters: it is too long to be replaced as a whole.")
    try:
        suggestion = await suggestions.propose(
            question.ctx,
            conversation_id=question.conversation_id,
            note_id=question.note_id,
            message_id=question.reply_id,
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
    run: Run,
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
    question = run.deps.question
    here = question.note_id
    try:
        found = await search(question.ctx, query, first=top_k, note_id=here, exclude_note=exclude_current_document)
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
        for hit in found.hits
    ]
    return ToolReturn(hits, metadata=_quantity(len(hits), "passage"))


async def count_words(run: Run) -> ToolReturn[Any]:
    """Counts the words of the open document. Each Chinese or Japanese character counts as one."""
    return await _counted(run, text_statistics.words, "word")


async def count_characters(run: Run) -> ToolReturn[Any]:
    """Counts the characters of the open document as a reader sees them, with spaces."""
    return await _counted(run, text_statistics.characters, "character")


async def count_paragraphs(run: Run) -> ToolReturn[Any]:
    """Counts the paragraphs of the open document."""
    return await _counted(run, text_statistics.paragraphs, "paragraph")


async def count_sentences(run: Run) -> ToolReturn[Any]:
    """Counts the sentences of the open document."""
    return await _counted(run, text_statistics.sentences, "sentence")


async def estimate_reading_time(
    run: Run, words_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 200
) -> ToolReturn[Any]:
    """How long it takes to read the open document, in whole minutes.

    Args:
        words_per_minute: How fast it is read.
    """
    # In a thread: of a long text the count takes longer than the event loop should wait.
    words = await asyncio.to_thread(text_statistics.words, await _document(run.deps.question))
    minutes = math.ceil(words / words_per_minute)
    return ToolReturn({"words": words, "minutes": minutes}, metadata=_quantity(minutes, "minute"))


async def _counted(run: Run, count: Callable[[str], int], unit: str) -> ToolReturn[Any]:
    number = await asyncio.to_thread(count, await _document(run.deps.question))
    return ToolReturn(number, metadata=_quantity(number, unit))


async def _document(question: ReplyRequest) -> str:
    """The document as it was sent with the question, else the note's text as it is now.

    Raises ToolFailed where who asks may no longer read the note.
    """
    sent = question.document
    if sent is not None and sent.content_text is not None:
        return sent.content_text
    try:
        row = await notes.get(question.ctx, question.note_id, {"content_text", *NOTE_TEXTS})
    except Problem as problem:
        raise ToolFailed(UNREADABLE) from problem
    if row.content_text.strip():
        return str(row.content_text)
    return "\n\n".join(text for name in NOTE_TEXTS if (text := getattr(row, name)).strip())


def _quantity(number: int, unit: str) -> str:
    return f"{number:,} {unit}" if number == 1 else f"{number:,} {unit}s"


READING: list[Tool[Turn]] = [
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
# Made alone: of two at once the second supersedes the first, in the order of the calls.
PROPOSING = Tool(propose_document_replacement, sequential=True)
TOOLS: dict[AgentType | None, list[Tool[Turn]]] = {
    None: [],
    AgentType.GENERAL: [*READING, PROPOSING],
    AgentType.ANALYST: READING,
}
