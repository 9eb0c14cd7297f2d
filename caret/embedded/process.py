"""Child processes that never outlive this one: starting them, waiting for them, ending them."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from caret.embedded.folder import EmbeddedError, SystemUser

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class Process(Protocol):
    """The part of `subprocess.Popen` that is needed to end a process."""

    def poll(self) -> int | None: ...
    def send_signal(self, sig: int, /) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


def die_with_parent(sig: signal.Signals, parent: int | None = None) -> Callable[[], None]:
    """Returns a function for `preexec_fn`: the kernel then sends `sig` to the child when the thread that started it
    ends (Linux only).

    A process that passes its own parent's id and calls the result arranges the same for itself.
    """
    parent = parent or os.getpid()

    def arrange() -> None:
        if _prctl is None:
            return
        if _prctl(PR_SET_PDEATHSIG, int(sig), 0, 0, 0) != 0:
            raise OSError("prctl(PR_SET_PDEATHSIG) failed")
        # The parent may have died before prctl; then nobody would ever send the signal.
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def set_name(name: str) -> None:
    """Names this process in `ps` and `top`: at most 15 bytes (Linux only)."""
    if _prctl is not None:
        _prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


def spawn(
    command: Sequence[str | Path],
    *,
    death_signal: signal.Signals,
    output: int,
    cwd: Path,
    user: SystemUser | None = None,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Starts a child in a session of its own, so that a terminal's Ctrl-C reaches only this process."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("Start embedded servers from the main thread: they die with the thread that started them.")
    return subprocess.Popen(  # noqa: S603 - our own binaries with our own arguments
        command,
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=_ENVIRONMENT,
        start_new_session=True,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
        # CPython runs it after setuid, which matters: a change of credentials clears the death signal.
        preexec_fn=die_with_parent(death_signal),  # noqa: PLW1509 - the child only calls prctl and getppid
    )


def run(command: Sequence[str | Path], *, cwd: Path, user: SystemUser | None, text: str = "") -> str:
    """Runs a short child to its end with `text` as its input; returns its output. Raises EmbeddedError on failure."""
    process = spawn(
        command, death_signal=signal.SIGKILL, output=subprocess.PIPE, cwd=cwd, user=user, stdin=subprocess.PIPE
    )
    with process:
        try:
            output = process.communicate(text.encode())[0].decode(errors="replace")
        except BaseException:
            process.kill()
            raise
    problem = next((line for line in output.splitlines() if "ERROR:" in line or "FATAL:" in line), None)
    if process.returncode != 0 or problem:
        last = (output.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        raise EmbeddedError(f"{Path(command[0]).name} failed: {problem or last}")
    return output


def stop(process: Process, sig: signal.Signals, grace: float) -> None:
    """Sends `sig`, waits up to `grace` seconds, then kills; returns when the process is reaped."""
    if process.poll() is None:
        process.send_signal(sig)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def is_running(pid: int, program: str, argument: str) -> bool:
    """Whether `pid` lives and is `program` with `argument`: neither a zombie (no command line) nor a reused pid."""
    if sys.platform == "linux":
        try:
            parts = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return False
        return Path(parts[0]).name == program and argument in parts
    command = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    return program in listing.stdout and argument in listing.stdout


def end_orphan(pid: int, program: str, argument: str, sig: signal.Signals, grace: float = 60) -> None:
    """Ends a server whose owner has ended. Call it with the folder's lock held."""
    deadline = time.monotonic() + grace
    is_signalled = False
    while is_running(pid, program, argument):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"A {program} left by an earlier run does not end; stop it first: kill {pid}")
        if not is_signalled:
            with suppress(ProcessLookupError):
                os.kill(pid, sig)
            is_signalled = True
        time.sleep(0.01)


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def exchange(port: int, request: bytes = b"") -> bytes:
    """Connects to a loopback port, sends `request` and returns the first bytes of the response; empty without one."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(request)
            return connection.recv(8192)
    except OSError:
        return b""


def wait_until(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], name: str, seconds: float) -> bool:
    """Polls `is_ready` while the process lives; False when it has ended. Raises EmbeddedError after `seconds`."""
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        if is_ready():
            return True
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{name} was not ready after {seconds:.0f} seconds.")
        time.sleep(0.005)
    return False
