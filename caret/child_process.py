"""The server's own processes. On Linux they are forks of the supervisor, which has imported the program once."""

import gc
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

from caret.embedded.process import Process, die_with_parent, set_name
from caret.lazy import import_for_start

CAN_FORK = sys.platform == "linux"
"""Elsewhere system libraries may break in a process that continues after a fork: there each process imports anew."""
PROGRAM = ("caret.commands.web", "caret.commands.worker")
"""What the children run: worth importing before the first fork."""
RESTARTS, RESTART_WINDOW_SECONDS = 5, 60.0
"""A child that ends this often within this time ends the server: restarting does not help."""
POLL_SECONDS = 0.01
STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}

PrintStatus = Callable[[str], None]
RunCommand = Callable[[Sequence[str]], None]
"""Runs a command of this program; ends with SystemExit."""


class ServeError(Exception):
    """One clear line about why the server does not run."""


def import_program() -> None:
    """Imports what the children run. Call it while other servers start; nothing here may start a thread."""
    if not CAN_FORK:
        return
    for name in PROGRAM:
        import_for_start(name)
    # The collectors of the children never look at what is there by now, so its pages stay shared.
    gc.freeze()


class Fork:
    """A child process that continues this program with `run`. It behaves like `subprocess.Popen`."""

    def __init__(self, run: Callable[[], None], *, name: str, keep: Sequence[int] = ()) -> None:
        """The child keeps the standard streams and the descriptors of `keep`; all others are closed in it."""
        self.returncode: int | None = None
        arrange_death = die_with_parent(signal.SIGKILL)
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that arrives before the child has its own handlers waits for them.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        self.pid = os.fork()
        if self.pid == 0:
            _run_child(run, name, keep, arrange_death)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # Where SIGCHLD is ignored the system keeps no status, as for `subprocess.Popen`.
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and timeout is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(POLL_SECONDS)
        return status

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run_child(run: Callable[[], None], name: str, keep: Sequence[int], arrange_death: Callable[[], None]) -> NoReturn:
    """The life of a forked child. It must not return: the parent's `with` blocks are not for it to leave."""
    status = 1
    try:
        # A session of its own: a terminal's Ctrl-C is for the supervisor alone, which ends its children in order.
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        arrange_death()
        set_name(f"caret-{name}")
        _close_descriptors(keep)
        run()
        status = 0
    except SystemExit as stop:
        status = _exit_status(stop)
    except BaseException:  # noqa: BLE001 (the end of this process: whatever it is is printed, and the status says so)
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            # Also where nobody reads the output any more: an exception must not leave the parent's `with` blocks.
            os._exit(status)


def _exit_status(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    print(stop.code, file=sys.stderr)  # noqa: T201 (as the interpreter does)
    return 1


def _close_descriptors(keep: Sequence[int]) -> None:
    """Closes what belongs to the parent, among it the locks of the embedded servers; standard input becomes empty."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (the numbers, and one of them is of the listing itself)
        descriptor = int(name)
        if descriptor > 2 and descriptor not in keep:
            with suppress(OSError):
                os.close(descriptor)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


@dataclass
class Child:
    """A process of the server: a command of this program."""

    arguments: Sequence[str]
    environment: dict[str, str]
    run_command: RunCommand
    keep: tuple[int, ...] = ()
    exit_times: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.arguments[0]

    def start(self) -> None:
        self.process: Process = self._fork() if CAN_FORK else self._spawn()

    def restart_if_ended(self, print_status: PrintStatus) -> None:
        """Starts the process again if it has ended. Raises ServeError when that happens too often."""
        status = self.process.poll()
        if status is None:
            return
        now = time.monotonic()
        self.exit_times = [moment for moment in self.exit_times if now - moment < RESTART_WINDOW_SECONDS] + [now]
        if len(self.exit_times) >= RESTARTS:
            raise ServeError(
                f"the {self.name} process ended {RESTARTS} times within {RESTART_WINDOW_SECONDS:.0f} s; giving up"
            )
        print_status(f"the {self.name} process ended with status {status}; starting it again")
        self.start()

    def _fork(self) -> Process:
        def run() -> None:
            os.environ.update(self.environment)
            self.run_command(self.arguments)

        return Fork(run, name=self.name, keep=self.keep)

    def _spawn(self) -> Process:
        return subprocess.Popen(  # noqa: S603 (this very program)
            [sys.executable, "-m", "caret", *self.arguments],
            env={**os.environ, **self.environment},
            pass_fds=self.keep,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
