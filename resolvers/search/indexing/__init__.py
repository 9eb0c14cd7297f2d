"""Keeps the chunks of every note's text up to date.

Every accepted text takes a ticket; embedding happens outside any transaction; then the chunks of the note are replaced
in one commit, unless a later ticket was faster. A note whose `index_done` is behind its `index_wanted` is work to do,
whatever happened to the process that had begun it. A text that the workspace has a vector of is not embedded again.
"""

from resolvers.search.indexing.embed import EMBEDDED_AT_ONCE
from resolvers.search.indexing.embedding_spaces import newest, register, tidy
from resolvers.search.indexing.index_note import Indexed, work
from resolvers.search.indexing.outdated import claim_outdated, release
from resolvers.search.indexing.queue import LEASE, claim
from resolvers.search.indexing.reindex import Left, left, reindex, settle
from resolvers.search.indexing.request import forget, index

__all__ = [
    "EMBEDDED_AT_ONCE",
    "LEASE",
    "Indexed",
    "Left",
    "claim",
    "claim_outdated",
    "forget",
    "index",
    "left",
    "newest",
    "register",
    "reindex",
    "release",
    "settle",
    "tidy",
    "work",
]
