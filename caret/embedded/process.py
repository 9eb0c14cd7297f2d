"""Child processes that never outlive this one, and questions to ask them."""

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

from caret.embedded.folder import EmbeddedError, User

PR_SET_PDEATHSIG = 1
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent(sig: signal.Signals, parent: int | None = None) -> Callable[[], None]:
    """For `preexec_fn`: the kernel sends `sig` to the child when the thread that started it ends (Linux only).

    A process that gives its own parent's id and calls the result arranges the same for itself.
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


def spawn(
    command: Sequence[str | Path],
    *,
    death_signal: signal.Signals,
    output: int,
    cwd: Path,
    user: User | None = None,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, so that a terminal's Ctrl-C reaches only this process."""
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


def finish(command: Sequence[str | Path], *, cwd: Path, user: User | None, text: str = "") -> str:
    """Run a short child to its end with `text` as its input; returns what it printed."""
    process = spawn(
        command, death_signal=signal.SIGKILL, output=subprocess.PIPE, cwd=cwd, user=user, stdin=subprocess.PIPE
    )
    with process:
        try:
            printed = process.communicate(text.encode())[0].decode(errors="replace")
        except BaseException:
            process.kill()
            raise
    problem = next((line for line in printed.splitlines() if "ERROR:" in line or "FATAL:" in line), None)
    if process.returncode != 0 or problem:
        last = (printed.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        raise EmbeddedError(f"{Path(command[0]).name} failed: {problem or last}")
    return printed


def stop(process: subprocess.Popen[bytes], sig: signal.Signals, grace: float) -> None:
    """Ask with `sig`, wait up to `grace` seconds, then kill; returns when the process is reaped."""
    if process.poll() is None:
        process.send_signal(sig)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def runs(pid: int, program: str, argument: str) -> bool:
    """True when `pid` lives and is `program` with `argument`: neither a zombie (no command line) nor a reused pid."""
    if sys.platform == "linux":
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return False
        return Path(words[0]).name == program and argument in words
    command = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    return program in shown.stdout and argument in shown.stdout


def end_orphan(pid: int, program: str, argument: str, sig: signal.Signals, grace: float = 60) -> None:
    """End a server whose owner is gone. Call it only while holding the folder's lock."""
    deadline = time.monotonic() + grace
    asked = False
    while runs(pid, program, argument):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"A {program} left by an earlier run does not end; stop it first: kill {pid}")
        if not asked:
            with suppress(ProcessLookupError):
                os.kill(pid, sig)
            asked = True
        time.sleep(0.01)


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, question: bytes = b"") -> bytes:
    """Connect to a loopback port, say `question`, return the first bytes of the answer; empty when nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(question)
            return connection.recv(8192)
    except OSError:
        return b""


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], name: str, seconds: float) -> bool:
    """Poll `ready` while the process lives; False when it ended, EmbeddedError after `seconds`."""
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        if ready():
            return True
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{name} did not get ready in {seconds:.0f} seconds.")
        time.sleep(0.005)
    return False
