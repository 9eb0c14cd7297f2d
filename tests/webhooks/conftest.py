"""A Context whose time is told by the test, on a database of its own, and a receiver."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpcore2
import pytest
from pydantic import SecretStr
from sqlalchemy import delete

from caret.adapters.webhook_client import HostResolver, HttpWebhookClient, PublicNetworkBackend
from caret.settings import Settings
from caret.wiring import open_context
from models import Webhook
from resolvers.core.context import Context
from tests.conftest import Services
from tests.support.databases import migrated_database
from tests.support.receiver import Receiver
from tests.support.servers import ENCRYPTION_KEY, SECRET
from tests.webhooks.helpers import TIMEOUT_SECONDS, Clock


@pytest.fixture(scope="session")
async def process(services: Services, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Context]:
    async with migrated_database(services.database_url) as url:
        settings = Settings(
            database_url=url,
            nats_url=services.nats_url,
            jwt_secret=SecretStr(SECRET),
            encryption_keys=ENCRYPTION_KEY,
            data_dir=Path(tmp_path_factory.mktemp("webhooks")),
            webhooks_allow_local=True,
        )
        async with open_context(settings) as context:
            yield context


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ctx(process: Context, clock: Clock) -> AsyncIterator[Context]:
    """Posts to this machine, with little patience."""
    resolver = HostResolver()
    network = PublicNetworkBackend(resolver, httpcore2.AnyIOBackend(), allow_local=True)
    webhook_client = HttpWebhookClient(network, allow_local=True, timeout_seconds=TIMEOUT_SECONDS)
    yield replace(process, webhook_client=webhook_client, clock=clock)
    await webhook_client.close()
    resolver.close()
    # All that is due is taken by whoever comes next: of another test as well.
    async with process.transaction() as tx:
        await tx.execute(delete(Webhook))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    started = Receiver()
    await started.start()
    yield started
    started.gate.set()
    await started.stop()
