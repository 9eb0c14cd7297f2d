"""The folder of an embedded server: one owner at a time, private files, and errors for the operator."""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class EmbeddedError(Exception):
    """An embedded server cannot run; the text is one line for the operator."""


class AlreadyRunningError(EmbeddedError):
    """Another live process owns the folder, and its server answers at `url` (which contains a secret)."""

    def __init__(self, name: str, folder: Path, url: str) -> None:
        """The text names the server and the folder, not the secret."""
        super().__init__(f"{name} already runs on {folder}, started by another process.")
        self.url = url


def start_error(name: str, folder: Path, error: Exception) -> EmbeddedError:
    """An error of the operating system, as one line for the operator."""
    hint = " Does it belong to another user, perhaps from a run as root?" if isinstance(error, PermissionError) else ""
    return EmbeddedError(f"{name} cannot be started in {folder}: {error}.{hint}")


class SystemUser(NamedTuple):
    """The account a child process runs as."""

    name: str
    uid: int
    gid: int


def lock_folder(path: Path, attach: Callable[[], str | None], name: str, timeout_seconds: float = 60) -> int:
    """Locks a folder for as long as the returned descriptor is open. The kernel drops the lock when the owner dies.

    Raises AlreadyRunningError when the owner's server answers `attach`, EmbeddedError when the lock is still taken
    and the server silent after `timeout_seconds`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + timeout_seconds
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if url := attach():
                    raise AlreadyRunningError(name, path.parent, url) from None
                if time.monotonic() > deadline:
                    raise EmbeddedError(f"Another process holds {path} but its {name} does not answer.") from None
                time.sleep(0.02)
            else:
                return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def create_private(path: Path, text: str = "", user: SystemUser | None = None) -> int:
    """Creates a file of mode 0600 with `text`, atomically in the place of an old one; returns it open for writing."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if user:
            os.fchown(descriptor, user.uid, user.gid)
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
        fresh.replace(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
