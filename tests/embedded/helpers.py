"""Other processes that start servers, and a look at what lives on a folder."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped] # its stubs are no dependency of ours

import caret
from caret.embedded.postgres import EmbeddedPostgres

Server = Callable[[Path], EmbeddedPostgres]

OWNER = """
import sys, time
from pathlib import Path
from caret.embedded.{module} import {server}
from caret.embedded.folder import AlreadyRunningError
server = {server}(Path(sys.argv[1]))
try:
    print(server.start(), flush=True)
except AlreadyRunningError as error:
    print("taken", error.url, flush=True)
else:
    time.sleep(60)
"""
POSTGRES = OWNER.format(module="postgres", server="EmbeddedPostgres")
NATS = OWNER.format(module="nats", server="EmbeddedNats")


@contextmanager
def owner(code: str, folder: Path, path: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Another process that starts a server and keeps it until it is killed, at the latest when the block ends."""
    root = Path(caret.__file__).parents[1]
    environment = {"PYTHONPATH": ":".join([*([str(path)] if path else []), *filter(None, sys.path)])}
    command = [sys.executable, "-W", "error", "-c", code, str(folder)]
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def living(folder: Path) -> list[psutil.Process]:
    """Every process that names the folder or works in it, backends too, zombies not."""
    rows = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            named = any(str(folder) in word for word in process.cmdline()) or process.cwd().startswith(str(folder))
            if named and process.name() in {"postgres", "initdb", "nats-server"}:
                rows.append(process)
    return rows


def is_zombie(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def command_lines() -> str:
    lines = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            lines.append(" ".join(process.cmdline()))
    return "\n".join(lines)


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def answer(url: str, *statements: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
            return await connection.fetchval("select 1")
        finally:
            await connection.close()

    return asyncio.run(run())
