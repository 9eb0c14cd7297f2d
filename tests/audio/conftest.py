"""A server with a transcriber, and a workspace on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from unittest import mock

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from caret import worker
from tests.conftest import Services, Tenant, make_tenant
from tests.support.servers import RunningServer, running_server
from tests.support.transcriber import MODEL, ScriptedTranscriber


@pytest.fixture(scope="session")
def transcriber() -> Iterator[ScriptedTranscriber]:
    server = ScriptedTranscriber()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def transcriber_settings(transcriber: ScriptedTranscriber) -> dict[str, str]:
    """The settings of a server that uses this transcriber."""
    return {"transcriber_base_url": transcriber.url, "transcriber_model": MODEL, "transcriber_api_key": "sk-ears"}


@pytest.fixture(scope="session")
def audio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audio store of that server."""
    return tmp_path_factory.mktemp("audio") / "audio"


@pytest.fixture(scope="session")
def audio_server(
    services: Services, transcriber_settings: dict[str, str], audio_folder: Path
) -> Iterator[RunningServer]:
    settings = {**services.settings, **transcriber_settings, "data_dir": str(audio_folder.parent)}
    # Work that failed becomes due without a wake-up: these tests need not wait for the worker's next look.
    with mock.patch.object(worker, "IDLE_SECONDS", 0.2), running_server(**settings) as running:
        yield running


@pytest.fixture
async def audio_tenant(audio_server: RunningServer, database: AsyncEngine) -> AsyncIterator[Tenant]:
    """A workspace on that server."""
    tenant = await make_tenant(audio_server, database)
    yield tenant
    for caller in tenant.callers:
        await caller.close()
