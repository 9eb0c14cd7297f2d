"""Keeps the chunks of every note's text up to date.

Each text to index gets a number, the note's `index_wanted`. The text is embedded outside any transaction, then the
note's chunks are replaced in one commit, unless a text with a higher number was faster. A note whose `index_done` is
less than its `index_wanted` waits to be indexed, whatever happened to the process that had claimed it. A text that has
a vector in the workspace is not embedded again.
"""

from resolvers.search.indexing.embed import EMBEDDER_BATCH_SIZE
from resolvers.search.indexing.embedding_spaces import current_embedder, delete_unused_embedders, register_embedder
from resolvers.search.indexing.index_note import Indexed, work
from resolvers.search.indexing.outdated import claim_outdated, release_outdated
from resolvers.search.indexing.queue import LEASE, claim
from resolvers.search.indexing.reindex import ReindexProgress, finish_reindexing, reindex, reindex_progress
from resolvers.search.indexing.request import delete_chunks, index

__all__ = [
    "EMBEDDER_BATCH_SIZE",
    "LEASE",
    "Indexed",
    "ReindexProgress",
    "claim",
    "claim_outdated",
    "current_embedder",
    "delete_chunks",
    "delete_unused_embedders",
    "finish_reindexing",
    "index",
    "register_embedder",
    "reindex",
    "reindex_progress",
    "release_outdated",
    "work",
]
