import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from caret.embedded.postgres import EmbeddedPostgres

from .helpers import Server


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter (pytest's own tmp_path is closed, which for root is a different case)."""
    root = Path(tempfile.mkdtemp(prefix="caret-")).resolve()
    root.chmod(0o755)
    yield root / "server"
    shutil.rmtree(root)


@pytest.fixture
def server() -> Iterator[Server]:
    servers: list[EmbeddedPostgres] = []

    def make(folder: Path) -> EmbeddedPostgres:
        servers.append(EmbeddedPostgres(folder))
        return servers[-1]

    yield make
    for one in servers:
        one.stop()
