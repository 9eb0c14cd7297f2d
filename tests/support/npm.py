"""Node's clients of GraphQL, and a browser: what tests/contract/npm names, from the npm registry."""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.servers import ROOT

SCRIPTS = ROOT / "tests" / "contract" / "npm"
NODE = shutil.which("node")
UNPACK = 'import("@sparticuz/chromium").then((chromium) => chromium.default.executablePath())'
LINE_TIMEOUT_SECONDS = 240
NEEDS_NODE = pytest.mark.skipif(NODE is None or shutil.which("npm") is None, reason="needs Node 20.11 or newer and npm")


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """One process at a time: pytest-xdist's workers share the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(report: Callable[[str], None]) -> Path:
    """The folder of the packages, which are installed once for each package-lock.json: beside the Python ones, outside
    what git sees. No package's own scripts run. Its folder `browser` has Chromium, unpacked."""
    lock = SCRIPTS / "package-lock.json"
    store = Path(sys.prefix) / "npm"
    folder = store / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    with exclusive(store):
        if not folder.exists():
            report(f"\ntests: installing {lock.relative_to(ROOT)} in {folder} (once, about a minute)")
            making = folder.with_suffix(".new")
            shutil.rmtree(making, ignore_errors=True)
            (making / "browser").mkdir(parents=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SCRIPTS / name, making)
            _run(making, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
            # In the folder for temporary files, whose place this names; with the few libraries that it needs, which
            # the package adds where it believes to be in Lambda: so it runs on a machine that has no browser's.
            browser = str(making / "browser")
            _run(making, "node", "--eval", UNPACK, TMPDIR=browser, AWS_EXECUTION_ENV="AWS_Lambda_nodejs20.x")
            making.rename(folder)
    return folder


def _run(folder: Path, *command: str, **variables: str) -> None:
    environment = {**os.environ, **variables}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"


def with_scripts(packages: Path, folder: Path) -> Path:
    """A folder with the scripts of tests/contract/npm, where they find the packages, and `browser`."""
    scripts = folder / "npm"
    shutil.copytree(SCRIPTS, scripts)
    for name in ("node_modules", "browser"):
        (scripts / name).symlink_to(packages / name)
    return scripts


class Node:
    """A running script that prints lines. Its errors are shown when it fails."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, scripts: Path, *arguments: str, **environment: str) -> "Node":
        assert NODE is not None
        return cls(
            await asyncio.create_subprocess_exec(
                NODE,
                *arguments,
                cwd=scripts,
                env={**os.environ, **environment},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=2**22,
            )
        )

    async def line(self) -> str:
        """The next line. Where there is none, it fails with what the script printed as errors."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(LINE_TIMEOUT_SECONDS):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            await self.stop()
            assert self._process.stderr is not None
            raise AssertionError(f"no line came; it printed:\n{(await self._process.stderr.read()).decode()}")
        return line.decode().rstrip("\n")

    async def lines(self) -> list[str]:
        """The lines that it prints until it ends."""
        output, errors = await self._process.communicate()
        assert self._process.returncode == 0, errors.decode()
        return output.decode().splitlines()

    async def go_on(self) -> None:
        assert self._process.stdin is not None
        # If the script has ended, reading its next line says why.
        with suppress(ConnectionError):
            self._process.stdin.write(b"go on\n")
            await self._process.stdin.drain()

    async def stop(self) -> None:
        if self._process.returncode is None:
            # Not killed: it takes its browser along.
            self._process.terminate()
            await self._process.wait()

    async def json_line(self) -> object:
        """The next line, which is JSON."""
        return json.loads(await self.line())
