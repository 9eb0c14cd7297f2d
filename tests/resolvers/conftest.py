"""A real Context in this process, on a database of its own: no server's worker takes the work of these tests."""

from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from pydantic import SecretStr

from caret.settings import Settings
from caret.wiring import open_context
from resolvers.core.context import Context
from tests.conftest import Services
from tests.resolvers.helpers import OwnWorkspace, make_own_workspace
from tests.support.databases import migrated_database
from tests.support.llm import MODEL
from tests.support.servers import SECRET


@pytest.fixture(scope="session")
async def ctx(services: Services, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Context]:
    async with migrated_database(services.database_url) as url:
        settings = Settings(
            database_url=url,
            nats_url=services.nats_url,
            data_dir=tmp_path_factory.mktemp("here"),
            jwt_secret=SecretStr(SECRET),
            llm_base_url=services.llm.url,
            llm_model=MODEL,
        )
        async with open_context(settings) as context:
            yield context


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Structlog as a server has it: its own default shows every local variable of a traceback, which takes seconds."""
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    yield
    structlog.configure(**before)


@pytest.fixture
async def own_workspace(ctx: Context) -> OwnWorkspace:
    return await make_own_workspace(ctx)


@pytest.fixture
def me(own_workspace: OwnWorkspace) -> Context:
    """The context of a workspace's admin, for the tests that need nobody else."""
    return own_workspace.ctx
