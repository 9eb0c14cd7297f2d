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
from resolvers.core.embedding_cache import Spare
from resolvers.core.errors import Code, Problem
from resolvers.core.ports.agents import Agents
from resolvers.core.ports.ai import Embedder, Embedders, Models
from resolvers.core.ports.audio import Audio
from resolvers.core.ports.webhook_client import WebhookClient
from resolvers.core.rate_limit import DELIVERIES, POINTS, Meter

if TYPE_CHECKING:
    from resolvers.events.feed import Feeds
    from resolvers.replies import Runs


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


class Vault(Protocol):
    """Keeps secrets that the server itself must be able to read again."""

    def seal(self, text: str) -> bytes: ...
    def open(self, sealed: bytes) -> str:
        """Raises ValueError where none of the keys that the server has opens it."""


class ReplyFeed(Protocol):
    """One reader of a reply's events, positioned at the first that the bus still keeps."""

    @property
    def kept(self) -> int:
        """How many events the bus still had when this reader came."""

    @property
    def open(self) -> bool:
        """False when there is nothing more to come here: the bus came back without its memory, or had more to tell
        than a reader may keep waiting. Another feed goes on."""

    async def next(self, patience: float) -> bytes | None:
        """The next event, or None after `patience` seconds of silence."""


OnWake = Callable[[int], None]


class Bus(Protocol):
    """Messages between processes. Losing one is never a loss of data, only of time."""

    @property
    def connected(self) -> bool: ...

    @property
    def lives(self) -> int:
        """How often the bus has come back after it was away; what it kept may then be gone."""

    async def wake(self, workspace_id: UUID, seq: int) -> None: ...
    def wakeups(
        self, workspace_id: UUID | None, on_wake: Callable[[int], None]
    ) -> AbstractAsyncContextManager[None]: ...
    async def publish_reply(self, message_id: UUID, event: bytes, *, last: bool) -> None: ...
    async def last_reply_event(self, message_id: UUID) -> bytes | None: ...
    def reply(self, message_id: UUID) -> AbstractAsyncContextManager[ReplyFeed]: ...
    async def cancel(self, message_id: UUID) -> None:
        """Tells every process that this reply was cancelled."""

    def cancelled(self, on_cancel: Callable[[UUID], None]) -> AbstractAsyncContextManager[None]: ...


class Transaction:
    """A database connection for a moment, and whom to wake once what was written is committed."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.wakeups: dict[UUID, int] = {}

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        return await self.connection.execute(statement, parameters)


@dataclass(frozen=True, slots=True)
class Database:
    """`engine` for writing; of the same pool `reader`, without BEGIN and COMMIT around single reads, and `still`, for
    reads that must all see the same moment."""

    engine: AsyncEngine
    reader: AsyncEngine = field(init=False)
    still: AsyncEngine = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reader", self.engine.execution_options(isolation_level="AUTOCOMMIT"))
        still = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        object.__setattr__(self, "still", still)


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and times a deployment may change; the defaults are documented in the README.

    `points` is what one caller may spend in 60 seconds, `tokens_per_minute` what the replies of a workspace may; 0 is
    no limit. A user's `replies_per_user` are counted in each workspace by itself. `deliveries` is how many webhooks are
    posted for a workspace in 60 seconds; `webhooks_allow_local` admits http and loopback for them.
    """

    chunk_size: int = 512
    chunk_overlap: int = 64
    passages: int = 5
    reply_lease: timedelta = timedelta(seconds=30)
    reply_silence: float = 5.0
    follower_patience: float = 30.0
    event_retention: timedelta = timedelta(days=30)
    connections_per_caller: int = 100
    replies_per_user: int = 20
    replies_per_workspace: int = 200
    tokens_per_minute: int = 1_000_000
    points: Mapping[Plan, int] = field(default_factory=lambda: POINTS)
    deliveries: Mapping[Plan, int] = field(default_factory=lambda: DELIVERIES)
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
    tokens: TokenVerifier
    feeds: "Feeds"
    runs: "Runs"
    audio: Audio
    vault: Vault
    webhook_client: WebhookClient
    limits: Limits = field(default_factory=Limits)
    viewer: Viewer | None = None
    meter: Meter = field(default_factory=Meter)
    spare: Spare = field(default_factory=Spare)
    clock: Callable[[], datetime] = now

    def acting_as(self, viewer: Viewer, meter: Meter | None = None) -> "Context":
        return replace(self, viewer=viewer, meter=meter or Meter())

    @property
    def me(self) -> Viewer:
        if self.viewer is None:
            raise Problem(Code.UNAUTHENTICATED, "Authentication is required.")
        return self.viewer

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        async with self.database.reader.connect() as connection:
            yield Transaction(connection)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """Several reads of one moment: what others commit in between is not seen."""
        async with self.database.still.connect() as connection:
            yield Transaction(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commits at the end of the block, then wakes the followers of what was published in it."""
        async with self.database.engine.begin() as connection:
            tx = Transaction(connection)
            yield tx
        for workspace_id, seq in tx.wakeups.items():
            await self.bus.wake(workspace_id, seq)
