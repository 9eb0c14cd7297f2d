import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from caret.embedded.folder import AlreadyRunningError, EmbeddedError
from caret.embedded.postgres import attach, running

from .helpers import POSTGRES, Server, answer, command_lines, eventually, first_line, is_zombie, living, owner


@pytest.fixture(scope="module")
def warm() -> Iterator[Path]:
    """A folder whose cluster exists; each test leaves it without a server, in whatever state."""
    root = Path(tempfile.mkdtemp(prefix="caret-")).resolve()
    root.chmod(0o755)
    with running(root / "server"):
        pass
    yield root / "server"
    assert living(root) == []
    shutil.rmtree(root)


def test_cold_then_warm(folder: Path, server: Server) -> None:
    postgres = server(folder)
    url = postgres.start()
    assert answer(url, "create extension vector", "create table kept ()") == 1
    password = url.split(":")[2].split("@")[0]
    assert password not in command_lines()
    assert (folder / "password").stat().st_mode & 0o777 == 0o600
    assert attach(folder) == url
    postgres.stop()
    assert attach(folder) is None
    assert living(folder) == []
    assert answer(postgres.start(), "table kept") == 1
    assert postgres.process is not None
    assert postgres.process.poll() is None


def test_settings(warm: Path) -> None:
    async def values(url: str) -> list[str]:
        connection = await asyncpg.connect(url)
        names = ("fsync", "TimeZone", "listen_addresses", "server_encoding", "password_encryption")
        try:
            rows = [await connection.fetchval(f"show {name}") for name in names]
            rows.append(await connection.fetchval("select datlocale from pg_database where datname = 'caret'"))
            return rows
        finally:
            await connection.close()

    with running(warm) as url:
        assert asyncio.run(values(url)) == ["on", "UTC", "127.0.0.1", "UTF8", "scram-sha-256", "C.UTF-8"]
        with pytest.raises(asyncpg.InvalidPasswordError):
            answer(url.replace("@", "wrong@"))


def test_killed_parent_leaves_nothing(warm: Path, server: Server) -> None:
    with owner(POSTGRES, warm) as process:
        assert answer(first_line(process)) == 1
        process.kill()
    # At once: the old server may still be in the middle of its shutdown.
    assert answer(server(warm).start()) == 1
    with owner(POSTGRES, warm) as process:
        assert first_line(process).startswith("taken")


def test_killed_parent_and_nobody_comes(warm: Path) -> None:
    with owner(POSTGRES, warm) as process:
        first_line(process)
        assert living(warm)
        process.kill()
    eventually(lambda: living(warm) == [])


def test_two_starters_on_an_empty_folder(folder: Path) -> None:
    with owner(POSTGRES, folder) as one, owner(POSTGRES, folder) as other:
        first, second = sorted([first_line(one), first_line(other)])
        assert second == f"taken {first}"
        assert answer(first) == 1
        with running(folder) as url:
            assert url == first
        assert answer(first) == 1
    eventually(lambda: living(folder) == [])


def test_second_server_in_one_process(warm: Path, server: Server) -> None:
    url = server(warm).start()
    with pytest.raises(AlreadyRunningError) as caught:
        server(warm).start()
    assert caught.value.url == url
    assert "@" not in str(caught.value)


def test_killed_postgres_is_a_zombie_then_starts_again(warm: Path, server: Server) -> None:
    postgres = server(warm)
    postgres.start()
    assert postgres.process is not None
    postgres.process.kill()
    pid = postgres.process.pid
    eventually(lambda: is_zombie(pid))
    assert (warm / "data" / "postmaster.pid").exists()
    assert attach(warm) is None
    assert answer(postgres.start()) == 1


@pytest.mark.parametrize("text", ["", "12", "{pid}\n{data}\n1\n{port}\n\n127.0.0.1\n1 1\nready\n"])
def test_stale_pid_file(warm: Path, server: Server, text: str) -> None:
    # The pid is alive but not a Postgres, and something else answers on the port.
    with running(warm) as url:
        port = url.rpartition(":")[2].partition("/")[0]
    (warm / "data" / "postmaster.pid").write_text(text.format(pid=os.getpid(), data=warm / "data", port=port))
    assert attach(warm) is None
    assert answer(server(warm).start()) == 1


def test_crash_while_creating(folder: Path, server: Server) -> None:
    with owner(POSTGRES, folder) as process:
        eventually(lambda: any(folder.glob("data.*/pg_wal")))
        process.kill()
    assert not (folder / "data").exists()
    assert answer(server(folder).start()) == 1
    assert not list(folder.glob("data.*"))


def test_lost_password_is_replaced(warm: Path, server: Server) -> None:
    (warm / "password").unlink()
    assert answer(server(warm).start()) == 1


def test_a_broken_cluster_is_refused_with_its_reason(warm: Path, server: Server) -> None:
    version = warm / "data" / "PG_VERSION"
    text = version.read_text()
    version.write_text("9.6\n")
    try:
        with pytest.raises(EmbeddedError, match=r"9\.6.*not compatible"):
            server(warm).start()
    finally:
        version.write_text(text)


def test_moved_below_a_long_path_has_no_socket(warm: Path, server: Server) -> None:
    deep = warm.parent / ("deep" * 25)
    with running(warm):
        assert list((warm / "data").glob(".s.*"))
    warm.rename(deep)
    try:
        postgres = server(deep)
        assert answer(postgres.start()) == 1
        assert not list((deep / "data").glob(".s.*"))
        postgres.stop()
    finally:
        deep.rename(warm)
