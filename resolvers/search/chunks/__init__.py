"""Chunks: a note's texts cut for embedding, the same way wherever nothing was changed."""

from resolvers.search.chunks.chunker import Chunk, Text, chunked
from resolvers.search.chunks.transcript import Turn, transcript

__all__ = ["Chunk", "Text", "Turn", "chunked", "transcript"]
