"""What the tests run against: one Postgres, one NATS, one scripted model server, and Caret servers. Every test gets
workspaces of its own, so tests need not clean up after each other."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from caret.adapters.postgres import create_engine
from caret.embedded.nats import EmbeddedNats
from caret.embedded.postgres import EmbeddedPostgres
from caret.token_issuer import issue
from models import Plan, Role
from resolvers.auth import credentials
from resolvers.core.database import Transaction
from tests.support import server_logs
from tests.support.clients import Caller
from tests.support.databases import prepare
from tests.support.llm import MODEL, ScriptedModel
from tests.support.servers import ENCRYPTION_KEY, SECRET, UNLIMITED, RunningServer, running_server

LONG_FILES = (
    "tests/faults/test_serve.py",
    "tests/docs/test_pages.py",
    "tests/test_isolation.py",
    "tests/test_reindex.py",
    "tests/faults/test_events_at_scale.py",
    "tests/audio/test_kills.py",
    "tests/faults/test_settings.py",
    "tests/faults/test_reply_losses.py",
    "tests/faults/test_reply_ends.py",
    "tests/faults/test_rate_limits.py",
    "tests/faults/test_bus_restart.py",
    "tests/faults/test_postgres_restart.py",
    "tests/embedded/test_postgres.py",
    "tests/resolvers/test_plans.py",
    "tests/contract/test_schemathesis.py",
    "tests/contract/test_clients.py",
    "tests/audio/test_transcriber_faults.py",
    "tests/schema/test_socket_protocol.py",
    "tests/webhooks/test_schedule.py",
    "tests/webhooks/test_attempts.py",
    "tests/webhooks/test_kills.py",
)
"""They start first, so that in the end no process works alone on one of them."""


def pytest_configure() -> None:
    server_logs.install()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    position = {name: number for number, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: position.get(item.nodeid.partition("::")[0], len(LONG_FILES)))


@dataclass(frozen=True)
class Services:
    database_url: str
    nats_url: str
    llm: ScriptedModel

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a Caret server that uses these services."""
        return {
            "database_url": self.database_url,
            "nats_url": self.nats_url,
            "jwt_secret": SECRET,
            "encryption_keys": ENCRYPTION_KEY,
            "demo": "0",
            # As good as none: what limits are is tested by servers of their own.
            "rate_limits": UNLIMITED,
            "replies_per_user": "100000",
            "replies_per_workspace": "100000",
            "tokens_per_minute": "0",
            "llm_base_url": self.llm.url,
            "llm_model": MODEL,
        }


@pytest.fixture(scope="session")
def llm() -> Iterator[ScriptedModel]:
    server = ScriptedModel()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory, llm: ScriptedModel) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("services")
    postgres, nats = EmbeddedPostgres(folder / "postgres"), EmbeddedNats(folder / "nats")
    try:
        url = postgres.start()
        asyncio.run(prepare(url))
        yield Services(url, nats.start(), llm)
    finally:
        nats.stop()
        postgres.stop()


@pytest.fixture(scope="session")
def server(services: Services) -> Iterator[RunningServer]:
    with running_server(**services.settings) as running:
        yield running


@pytest.fixture(scope="session")
def other_server(services: Services) -> Iterator[RunningServer]:
    """A second server with the same database and bus, as on a second machine of a cluster."""
    with running_server(**services.settings) as running:
        yield running


@pytest.fixture(scope="session")
async def database(services: Services) -> AsyncIterator[AsyncEngine]:
    """For looking behind the server's back."""
    opened = create_engine(services.database_url)
    yield opened
    await opened.dispose()


@dataclass
class Tenant:
    """A workspace and ways to call the server from it."""

    id: uuid.UUID
    server: RunningServer
    database: AsyncEngine
    callers: list[Caller] = field(default_factory=list)

    async def key(self, *scopes: str, server: RunningServer | None = None) -> Caller:
        async with self.database.begin() as connection:
            key = await credentials.create_key(Transaction(connection), self.id, "test", scopes or None)
        return self._caller(key, server)

    async def user(
        self, role: Role = Role.MEMBER, name: str = "Someone", server: RunningServer | None = None
    ) -> Caller:
        """A person of this workspace, with a token."""
        user_id = uuid.uuid4()
        async with self.database.begin() as connection:
            tx = Transaction(connection)
            await credentials.ensure_user(tx, user_id, f"{user_id}@people.example", name)
            await credentials.add_member(tx, self.id, user_id, role)
        caller = self._caller(token(user_id), server)
        caller.user_id = user_id
        return caller

    def _caller(self, credential: str, server: RunningServer | None) -> Caller:
        caller = Caller(server or self.server, credential)
        self.callers.append(caller)
        return caller


def token(user_id: uuid.UUID, lifetime: float = 600) -> str:
    secret, email = SecretStr(SECRET), f"{user_id}@people.example"
    return issue(secret, user_id, email, audience="authenticated", issuer=None, lifetime=lifetime)


async def make_tenant(server: RunningServer, database: AsyncEngine, plan: Plan = Plan.ENTERPRISE) -> Tenant:
    async with database.begin() as connection:
        workspace_id = await credentials.create_workspace(
            Transaction(connection), f"Workspace {uuid.uuid4().hex[:8]}", plan
        )
    return Tenant(workspace_id, server, database)


@pytest.fixture
async def tenant(server: RunningServer, database: AsyncEngine) -> AsyncIterator[Tenant]:
    tenant = await make_tenant(server, database)
    yield tenant
    for caller in tenant.callers:
        await caller.close()


@pytest.fixture
async def stranger(server: RunningServer, database: AsyncEngine) -> AsyncIterator[Tenant]:
    """Another workspace, which must learn nothing of the first."""
    tenant = await make_tenant(server, database)
    yield tenant
    for caller in tenant.callers:
        await caller.close()
