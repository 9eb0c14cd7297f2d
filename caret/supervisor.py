"""`caret serve`: starts what is not there, then the server's processes, and ends all of it together."""

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import FrameType

from caret.embedded.nats import EmbeddedNats
from caret.embedded.postgres import EmbeddedPostgres
from caret.embedded.process import die_with_parent, stop
from caret.settings import Settings

LOOK = 0.05
"""Seconds between two looks at the children."""
READY = 120.0
"""Seconds that the server may take until it is ready."""
GRACE = 15.0
"""Seconds that a child may take to end once it was asked, beyond those that its replies get."""
LINGER = 15.0
"""Seconds that a connection outlives the patience with its client: what gives it up first says why."""
RESTARTS, WITHIN = 5, 60.0
"""A child that dies this often within this many seconds takes the server with it: restarting does not help."""

Say = Callable[[str], None]


class ServeError(Exception):
    """One clear line about why the server does not run."""


class Stopped(Exception):  # noqa: N818 (no error: somebody asked for it)
    """The server was asked to stop."""


@dataclass
class Child:
    """A process of the server."""

    name: str
    arguments: Sequence[str]
    environment: dict[str, str]
    descriptors: tuple[int, ...] = ()
    output: int | None = None
    deaths: list[float] = field(default_factory=list)

    def start(self) -> None:
        # A session of its own: a terminal's Ctrl-C is for the supervisor alone, which ends its children in order.
        self.process = subprocess.Popen(  # noqa: S603 (this very program)
            [sys.executable, "-m", "caret", *self.arguments],
            env=self.environment,
            pass_fds=self.descriptors,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            start_new_session=True,
            # Should the supervisor be killed, nothing of the server stays, however busy it is.
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 (this process has one thread)
        )

    def revive(self, say: Say) -> None:
        """Starts the process again if it died. Raises ServeError when that happens too often."""
        status = self.process.poll()
        if status is None:
            return
        now = time.monotonic()
        self.deaths = [death for death in self.deaths if now - death < WITHIN] + [now]
        if len(self.deaths) >= RESTARTS:
            raise ServeError(f"the {self.name} process ended {RESTARTS} times within {WITHIN:.0f} s; giving up")
        say(f"the {self.name} process ended with status {status}; starting it again")
        self.start()


class Stopping:
    """Set by the first SIGINT or SIGTERM; a second one ends the patience."""

    def __init__(self) -> None:
        # Plain values: a handler that runs within Event.wait would wait for ever for the event's own lock.
        self._asked = self.impatient = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self.impatient = self._asked
        self._asked = True

    def pause(self) -> None:
        """Waits a moment. Raises Stopped."""
        time.sleep(LOOK)
        if self._asked:
            raise Stopped


Embedded = EmbeddedPostgres | EmbeddedNats


def start_servers(settings: Settings, stack: ExitStack, say: Say) -> tuple[dict[str, str], list[Embedded]]:
    """Starts Postgres and NATS where no address is configured; returns the addresses to use, as settings, and them."""
    addresses: dict[str, str] = {}
    started: list[Embedded] = []
    if settings.database_url is None:
        say("starting Postgres")
        postgres = EmbeddedPostgres(settings.data_dir / "postgres")
        stack.callback(postgres.stop)
        addresses["CARET_DATABASE_URL"] = postgres.start()
        started.append(postgres)
    if settings.nats_url is None:
        say("starting NATS")
        nats = EmbeddedNats(settings.data_dir / "nats")
        stack.callback(nats.stop)
        addresses["CARET_NATS_URL"] = nats.start()
        started.append(nats)
    return addresses, started


def watch(embedded: Sequence[Embedded]) -> None:
    """Raises ServeError where an embedded server has ended: its successor would have another address."""
    for server in embedded:
        if server.process is not None and server.process.poll() is not None:
            raise ServeError(f"the server of {server.folder} ended by itself; start Caret again")


def listen(host: str, port: int, patience: float) -> socket.socket:
    """The socket that the web processes share. A connection whose client reads nothing for longer than `patience`
    seconds is ended by the system, whatever still waits to be sent on it."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int((patience + LINGER) * 1000))
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServeError(f"can't listen on {host}:{port}: {error.strerror or error}") from None
    listener.listen(2048)
    return listener


class Server:
    """The processes behind one listening socket: any number that serve it, and one for the chores."""

    def __init__(
        self, listener: socket.socket, workers: int, environment: dict[str, str], say: Say, reply_grace: float
    ) -> None:
        host, port = listener.getsockname()[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (not bound here, only shown)
        self.address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
        self._environment = environment
        self._say = say
        self._grace = reply_grace + GRACE
        self._stopping = Stopping()
        self._started: list[Child] = []
        descriptor = listener.fileno()
        web = ("web", "--fd", str(descriptor))
        self._web = [Child("web", web, environment, (descriptor,)) for _ in range(workers)]
        self._chores = Child("worker", ("worker",), environment)

    def run(
        self,
        *,
        check: Callable[[], None],
        prepare: Callable[[], None],
        announce: Callable[[], None],
        watch: Callable[[], None],
    ) -> None:
        """Runs until it is asked to stop.

        `check` runs before anything else, `prepare` while the web processes are starting, `announce` once they are
        ready, and `watch` from then on.
        """
        try:
            check()
            for child in self._web:
                self._start(child)
            prepare()
            self._wait_until_ready()
            self._start(self._chores)
            announce()
            while True:
                self._stopping.pause()
                watch()
                for child in self._started:
                    child.revive(self._say)
        except Stopped:
            self._say("stopping")
        finally:
            self._end()

    def once(self, *arguments: str) -> str:
        """Runs a command of this program to its end; returns what it printed."""
        child = Child(arguments[0], arguments, self._environment, output=subprocess.PIPE)
        child.start()
        try:
            while child.process.poll() is None:
                self._stopping.pause()
        finally:
            printed, _ = stop_and_read(child.process)
        if child.process.returncode == 1:
            # The command has said itself what is wrong.
            raise SystemExit(1)
        if child.process.returncode:
            raise ServeError(f"`caret {' '.join(arguments[:2])}` ended with status {child.process.returncode}")
        return printed.decode().strip()

    def _start(self, child: Child) -> None:
        child.start()
        self._started.append(child)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY
        while not is_ready(self.address):
            self._stopping.pause()
            if any(child.process.poll() is not None for child in self._started):
                raise ServeError("a web process ended while it was starting")
            if time.monotonic() > deadline:
                raise ServeError(f"the server was not ready within {READY:.0f} s")

    def _end(self) -> None:
        for child in self._started:
            child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        for child in self._started:
            while child.process.poll() is None and time.monotonic() < deadline and not self._stopping.impatient:
                time.sleep(LOOK)
            # Kills what did not end by itself.
            stop(child.process, signal.SIGKILL, 5)


def stop_and_read(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    if process.poll() is None:
        process.terminate()
    return process.communicate(timeout=GRACE)


def is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health/ready", timeout=2) as response:  # noqa: S310 (our own address)
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
