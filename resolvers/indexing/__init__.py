"""Keeps the chunks of every note's text up to date.

Every accepted text takes a ticket; embedding happens outside any transaction; then the chunks of the note are replaced
in one commit, unless a later ticket was faster. A note whose `index_done` is behind its `index_wanted` is work to do,
whatever happened to the process that had begun it. A text that the workspace has a vector of is not embedded again.
"""

from resolvers.indexing.accept import forget, index
from resolvers.indexing.claim import LEASE, claim
from resolvers.indexing.embed import EMBEDDED_AT_ONCE
from resolvers.indexing.outdated import claim_outdated, release
from resolvers.indexing.reindex import Left, left, reindex, settle
from resolvers.indexing.spaces import newest, register, tidy
from resolvers.indexing.work import Indexed, work

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
