"""`caret serve`: starts the servers that are missing, then Caret's own processes, and ends all of them together."""

import http.client
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from types import FrameType
from urllib.parse import urlsplit

from caret.child_process import Child, PrintStatus, RunCommand, ServeError
from caret.embedded.nats import EmbeddedNats
from caret.embedded.postgres import EmbeddedPostgres
from caret.embedded.process import stop
from caret.embedded.server import EmbeddedServer
from caret.settings import Settings

POLL_SECONDS = 0.02
"""Between two looks at the children."""
READY_SECONDS = 120.0
"""For so long the server may take until it is ready."""
EXIT_SECONDS = 15.0
"""For so long a child may take to end after SIGTERM, beyond the time that its replies get."""
STALL_MARGIN_SECONDS = 15.0
"""Added to the stall timeout, so that the web process closes a stalled connection, with a reason, before the kernel."""
BACKLOG = 2048


class StopRequested(Exception):  # noqa: N818 (no error: somebody asked for it)
    """SIGINT or SIGTERM has arrived."""


class StopSignals:
    """Records SIGINT and SIGTERM. After the second one nothing is waited for any more."""

    def __init__(self) -> None:
        # Plain attributes: a handler that runs within Event.wait would wait for ever for the event's own lock.
        self.is_repeated = self._is_requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.is_repeated = self._is_requested
        self._is_requested = True

    def pause(self) -> None:
        """Waits a moment. Raises StopRequested."""
        time.sleep(POLL_SECONDS)
        if self._is_requested:
            raise StopRequested


def launch_servers(settings: Settings, stack: ExitStack, print_status: PrintStatus) -> dict[str, EmbeddedServer]:
    """Starts Postgres and NATS where no address is configured, and does not wait until they are ready.

    Returns them by the name of the setting that their address belongs to.
    """
    launched: dict[str, EmbeddedServer] = {}
    missing: list[tuple[str, EmbeddedServer]] = []
    if settings.database_url is None:
        missing.append(("CARET_DATABASE_URL", EmbeddedPostgres(settings.data_dir / "postgres")))
    if settings.nats_url is None:
        missing.append(("CARET_NATS_URL", EmbeddedNats(settings.data_dir / "nats")))
    for setting, server in missing:
        print_status(f"starting {server.name}")
        stack.callback(server.stop)
        server.launch()
        launched[setting] = server
    return launched


def check_servers(servers: Sequence[EmbeddedServer]) -> None:
    """Raises ServeError when an embedded server has ended: its successor would have another address."""
    for server in servers:
        if server.process is not None and server.process.poll() is not None:
            raise ServeError(
                f"the embedded {server.name} stopped unexpectedly (data: {server.folder}); start Caret again"
            )


def listen(host: str, port: int, stall_seconds: float) -> socket.socket:
    """The socket that the web processes share. The system ends a connection whose client reads nothing for longer
    than `stall_seconds` and a margin, whatever is still to be sent on it."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        milliseconds = int((stall_seconds + STALL_MARGIN_SECONDS) * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServeError(f"can't listen on {host}:{port}: {error.strerror or error}") from None
    listener.listen(BACKLOG)
    return listener


def address_of(listener: socket.socket) -> str:
    """The `http://` address under which this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (not bound here)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Supervisor:
    """The processes behind one listening socket: any number of web processes, and one worker."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        web_processes: int,
        environment: dict[str, str],
        run_command: RunCommand,
        stop_signals: StopSignals,
        reply_grace: float,
        print_status: PrintStatus,
    ) -> None:
        """`reply_grace`: seconds that running replies get to finish when the server stops."""
        self.address = address_of(listener)
        self._environment = environment
        self._run_command = run_command
        self._print_status = print_status
        self._exit_seconds = reply_grace + EXIT_SECONDS
        self._stop_signals = stop_signals
        self._started: list[Child] = []
        descriptor = listener.fileno()
        self._web = [self._child("web", "--fd", str(descriptor), keep=(descriptor,)) for _ in range(web_processes)]
        self._worker = self._child("worker")

    def run(
        self,
        *,
        check: Callable[[], None],
        prepare: Callable[[], None],
        announce: Callable[[], None],
        watch: Callable[[], None],
    ) -> None:
        """Runs until SIGINT or SIGTERM.

        `check` runs before anything else, `prepare` while the web processes are starting, `announce` once they are
        ready, and `watch` again and again from then on.
        """
        try:
            check()
            for child in self._web:
                self._start(child)
            prepare()
            self._wait_until_ready()
            self._start(self._worker)
            announce()
            while True:
                self._stop_signals.pause()
                watch()
                for child in self._started:
                    child.restart_if_ended(self._print_status)
        except StopRequested:
            self._print_status("stopping")
        finally:
            self._end()

    def run_once(self, *arguments: str) -> None:
        """Runs a command of this program to its end. Raises SystemExit when it has failed and said why itself."""
        child = self._child(*arguments)
        child.start()
        try:
            while (status := child.process.poll()) is None:
                self._stop_signals.pause()
        finally:
            stop(child.process, signal.SIGTERM, EXIT_SECONDS)
        if status == 1:
            raise SystemExit(1)
        if status:
            raise ServeError(f"`caret {' '.join(arguments)}` ended with status {status}")

    def _child(self, *arguments: str, keep: tuple[int, ...] = ()) -> Child:
        return Child(arguments, self._environment, self._run_command, keep)

    def _start(self, child: Child) -> None:
        child.start()
        self._started.append(child)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not is_ready(self.address):
            self._stop_signals.pause()
            if any(child.process.poll() is not None for child in self._started):
                raise ServeError("a web process ended while it was starting")
            if time.monotonic() > deadline:
                raise ServeError(f"the server was not ready within {READY_SECONDS:.0f} s")

    def _end(self) -> None:
        for child in self._started:
            child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._exit_seconds
        for child in self._started:
            while child.process.poll() is None and time.monotonic() < deadline and not self._stop_signals.is_repeated:
                time.sleep(POLL_SECONDS)
            # Kills what has not ended by itself.
            stop(child.process, signal.SIGKILL, 5)


def is_ready(address: str) -> bool:
    """Whether `/health/ready` answers 200."""
    with closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=2)) as connection:
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
