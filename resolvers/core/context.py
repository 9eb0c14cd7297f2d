"""What every resolver is given: who asks, and the parts of the house it may use."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from sqlalchemy import Executable
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from models import Plan, Role
from resolvers.core.embedding_cache import EmbeddingCache
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.ports.agents import Agents
from resolvers.core.ports.ai import Embedder, Embedders, Models
from resolvers.core.ports.audio import Audio
from resolvers.core.ports.webhook_client import WebhookClient
from resolvers.core.rate_limit import DELIVERIES_PER_MINUTE, POINTS_PER_MINUTE, Meter

if TYPE_CHECKING:
    from resolvers.events.feed import EventFeeds
    from resolvers.replies import ReplyRunner


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, and from which workspace.

    A key acts as its workspace's own user, with an admin's rights there. `scopes` None: no scope is needed.
    """

    user_id: UUID
    workspace_id: UUID
    role: Role
    api_key_id: UUID | None = None
    scopes: frozenset[str] | None = None
    # Unix seconds, where it was a token that let them in: what they opened with it ends then.
    expires_at: float | None = field(default=None, compare=False)

    @property
    def actor_id(self) -> UUID:
        return self.api_key_id or self.user_id


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified access token says. `user_id` is its `sub`, `expires_at` Unix seconds."""

    user_id: UUID
    email: str | None
    name: str | None
    expires_at: float


class TokenVerifier(Protocol):
    async def verify(self, token: str) -> Claims:
        """Raises Problem UNAUTHENTICATED."""


class SecretsVault(Protocol):
    """Keeps secrets that the server itself must be able to read again."""

    def encrypt(self, text: str) -> bytes: ...
    def decrypt(self, sealed: bytes) -> str:
        """Raises ValueError where none of the keys that the server has opens it."""


class ReplySubscription(Protocol):
    """One reader of a reply's events, positioned at the first that the bus still keeps."""

    @property
    def retained(self) -> int:
        """How many events the bus still had when this reader came."""

    @property
    def is_open(self) -> bool:
        """False when there is nothing more to come here: the bus came back without its memory, or had more to tell
        than a reader may keep waiting. Another feed goes on."""

    async def next(self, timeout_seconds: float) -> bytes | None:
        """The next event, or None after `timeout_seconds` of silence."""


OnWake = Callable[[int], None]


class Bus(Protocol):
    """Messages between processes. Losing one is never a loss of data, only of time."""

    @property
    def connected(self) -> bool: ...

    @property
    def reconnects(self) -> int:
        """How often the bus has come back after it was away; what it kept may then be gone."""

    async def publish_wakeup(self, workspace_id: UUID, seq: int) -> None: ...
    def subscribe_wakeups(
        self, workspace_id: UUID | None, on_wake: Callable[[int], None]
    ) -> AbstractAsyncContextManager[None]: ...
    async def publish_reply(self, message_id: UUID, event: bytes, *, last: bool) -> None: ...
    async def last_reply_event(self, message_id: UUID) -> bytes | None: ...
    def subscribe_reply(self, message_id: UUID) -> AbstractAsyncContextManager[ReplySubscription]: ...
    async def publish_cancellation(self, message_id: UUID) -> None:
        """Tells every process that this reply was cancelled."""

    def subscribe_cancellations(self, on_cancel: Callable[[UUID], None]) -> AbstractAsyncContextManager[None]: ...


class Transaction:
    """A database connection for a moment, and whom to wake once what was written is committed."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.wakeups: dict[UUID, int] = {}

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        return await self.connection.execute(statement, parameters)


@dataclass(frozen=True, slots=True)
class Database:
    """The connection pool in three forms: `engine` writes; `reader` runs single reads without BEGIN and COMMIT;
    `snapshot_reader` runs several reads that must all see the same state."""

    engine: AsyncEngine
    reader: AsyncEngine = field(init=False)
    snapshot_reader: AsyncEngine = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reader", self.engine.execution_options(isolation_level="AUTOCOMMIT"))
        snapshot_reader = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        object.__setattr__(self, "snapshot_reader", snapshot_reader)


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and times that a deployment may change through its settings.

    `points_per_minute`: what one caller may spend in 60 seconds, by plan. `tokens_per_minute`: what the replies of a
    workspace may use; 0 means no limit. `replies_per_user` counts a user's replies in each workspace separately.
    `deliveries_per_minute`: webhook requests of a workspace in 60 seconds, by plan. `webhooks_allow_local` admits
    endpoints with http and on loopback.
    """

    chunk_size: int = 512
    chunk_overlap: int = 64
    passages: int = 5
    reply_lease: timedelta = timedelta(seconds=30)
    reply_poll_seconds: float = 5.0
    stall_timeout_seconds: float = 30.0
    event_retention: timedelta = timedelta(days=30)
    connections_per_caller: int = 100
    replies_per_user: int = 20
    replies_per_workspace: int = 200
    tokens_per_minute: int = 1_000_000
    points_per_minute: Mapping[Plan, int] = field(default_factory=lambda: POINTS_PER_MINUTE)
    deliveries_per_minute: Mapping[Plan, int] = field(default_factory=lambda: DELIVERIES_PER_MINUTE)
    webhooks_allow_local: bool = False


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Context:
    """One per process, and a copy with its viewer for each request. `embedder` makes all new vectors, `clock` says what
    time it is for webhooks."""

    database: Database
    bus: Bus
    embedder: Embedder
    embedders: Embedders
    models: Models
    agents: Agents
    token_verifier: TokenVerifier
    event_feeds: "EventFeeds"
    reply_runner: "ReplyRunner"
    audio: Audio
    vault: SecretsVault
    webhook_client: WebhookClient
    limits: Limits = field(default_factory=Limits)
    caller: Viewer | None = None
    meter: Meter = field(default_factory=Meter)
    embedding_cache: EmbeddingCache = field(default_factory=EmbeddingCache)
    clock: Callable[[], datetime] = now

    def for_viewer(self, viewer: Viewer, meter: Meter | None = None) -> "Context":
        return replace(self, caller=viewer, meter=meter or Meter())

    @property
    def viewer(self) -> Viewer:
        if self.caller is None:
            raise Problem(ErrorCode.UNAUTHENTICATED, "Authentication is required.")
        return self.caller

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        async with self.database.reader.connect() as connection:
            yield Transaction(connection)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """Several reads of one moment: what others commit in between is not seen."""
        async with self.database.snapshot_reader.connect() as connection:
            yield Transaction(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commits at the end of the block, then wakes the followers of what was published in it."""
        async with self.database.engine.begin() as connection:
            tx = Transaction(connection)
            yield tx
        for workspace_id, seq in tx.wakeups.items():
            await self.bus.publish_wakeup(workspace_id, seq)
