"""Semantic and text search over notes: chunks, indexing, queries."""
