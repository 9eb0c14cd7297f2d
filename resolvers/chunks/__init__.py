"""Chunks: a note's texts cut for embedding, the same way wherever nothing was changed."""

from resolvers.chunks.cutting import Chunk, Text, chunked
from resolvers.chunks.spoken import Turn, transcript

__all__ = ["Chunk", "Text", "Turn", "chunked", "transcript"]
