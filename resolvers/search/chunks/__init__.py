"""Chunks: a note's texts divided into pieces for embedding, the same way wherever the text has not changed.

The size of a chunk and its overlap (characters) are the settings CARET_CHUNK_SIZE and CARET_CHUNK_OVERLAP. They are
declared in `caret.settings`, passed on as `ctx.limits.chunk_size` and `ctx.limits.chunk_overlap`, and take effect in
`chunker`. After a change of either, `caret reindex` splits the notes of existing workspaces again.
"""

from resolvers.search.chunks.chunker import Chunk, SourceText, split_into_chunks
from resolvers.search.chunks.transcript import TranscriptTurn, render_transcript

__all__ = ["Chunk", "SourceText", "TranscriptTurn", "render_transcript", "split_into_chunks"]
