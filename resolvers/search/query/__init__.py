"""Search over the chunks of every note that the viewer may read: by meaning, by words, or by both."""

from resolvers.search.query.execute import MAX_QUERY, Found, search
from resolvers.search.query.hits import Hit
from resolvers.search.query.scope import MAX_HITS

__all__ = ["MAX_HITS", "MAX_QUERY", "Found", "Hit", "search"]
