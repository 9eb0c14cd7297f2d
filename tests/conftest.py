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


def pytest_configure() -> None:
    server_logs.install()


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
            await credentials.join(tx, self.id, user_id, role)
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
    made = await make_tenant(server, database)
    yield made
    for caller in made.callers:
        await caller.close()


@pytest.fixture
async def stranger(server: RunningServer, database: AsyncEngine) -> AsyncIterator[Tenant]:
    """Another workspace, which must learn nothing of the first."""
    made = await make_tenant(server, database)
    yield made
    for caller in made.callers:
        await caller.close()
