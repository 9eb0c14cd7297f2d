"""Search over the chunks of all notes that the viewer may read: semantic search, text search, or both fused."""

from resolvers.search.query.execute import MAX_QUERY, SearchResults, search
from resolvers.search.query.hits import Hit
from resolvers.search.query.scope import MAX_HITS

__all__ = ["MAX_HITS", "MAX_QUERY", "Hit", "SearchResults", "search"]
