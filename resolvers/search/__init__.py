"""Search over the chunks of every note that the viewer may read: by meaning, by words, or by both."""

from resolvers.search.find import MAX_QUERY, Found, search
from resolvers.search.hits import Hit
from resolvers.search.scope import MAX_HITS

__all__ = ["MAX_HITS", "MAX_QUERY", "Found", "Hit", "search"]
