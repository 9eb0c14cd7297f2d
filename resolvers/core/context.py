"""The context of a request: its viewer, and what the resolvers may use."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from resolvers.core.allowance import Meter
from resolvers.core.database import Database, Transaction
from resolvers.core.embedding_cache import EmbeddingCache
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.limits import Limits
from resolvers.core.ports.access_tokens import TokenVerifier
from resolvers.core.ports.agents import Agents
from resolvers.core.ports.ai import Embedder, EmbedderSet, Models
from resolvers.core.ports.audio import Audio
from resolvers.core.ports.bus import Bus
from resolvers.core.ports.encryption import SecretsVault
from resolvers.core.ports.event_feeds import EventFeeds
from resolvers.core.ports.replies import ReplyRunner
from resolvers.core.ports.webhook_client import WebhookClient
from resolvers.core.viewer import Viewer


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Context:
    """One instance per process, and a copy with the caller for each request.

    `embedder` makes all new vectors. `clock` is the time for webhooks, which tests replace.
    """

    database: Database
    bus: Bus
    embedder: Embedder
    embedders: EmbedderSet
    models: Models
    agents: Agents
    token_verifier: TokenVerifier
    event_feeds: EventFeeds
    reply_runner: ReplyRunner
    audio: Audio
    vault: SecretsVault
    webhook_client: WebhookClient
    limits: Limits
    caller: Viewer | None = None
    meter: Meter = field(default_factory=Meter)
    embedding_cache: EmbeddingCache = field(default_factory=EmbeddingCache)
    clock: Callable[[], datetime] = now

    def for_viewer(self, viewer: Viewer, meter: Meter | None = None) -> "Context":
        """A copy for a request of this viewer."""
        return replace(self, caller=viewer, meter=meter or Meter())

    @property
    def viewer(self) -> Viewer:
        """The authenticated caller. Raises UNAUTHENTICATED if there is none."""
        if self.caller is None:
            raise Problem(ErrorCode.UNAUTHENTICATED, "Authentication is required.")
        return self.caller

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """A connection for single reads, each of which sees what is committed at its moment."""
        async with self.database.reader.connect() as connection:
            yield Transaction(connection)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """A connection for several reads of one moment: what others commit in between is not visible."""
        async with self.database.snapshot_reader.connect() as connection:
            yield Transaction(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commits at the end of the block, then publishes a wake-up for each event log that was written to."""
        async with self.database.engine.begin() as connection:
            tx = Transaction(connection)
            yield tx
        for workspace_id, seq in tx.wakeups.items():
            await self.bus.publish_wakeup(workspace_id, seq)
