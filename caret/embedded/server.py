"""What both embedded servers have in common: one owner of a folder, a start in two halves, an orderly end."""

import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from caret.embedded.folder import lock_folder, start_error
from caret.embedded.process import stop


class EmbeddedServer(ABC):
    """One server in one folder. A second `start` restarts it. A supervisor sees in `process` when it has ended."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    shutdown_seconds: ClassVar[float]
    """For so long `stop` waits before it kills."""

    def __init__(self, folder: Path) -> None:
        """`launch` creates the folder."""
        self.folder = folder.resolve()
        self.process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    def start(self) -> str:
        """Starts the server and returns its URL, which contains a secret, once it accepts connections.

        Call it from the main thread. Raises AlreadyRunningError when another process runs this folder's server, and
        EmbeddedError, with one line for the operator, for every other obstacle.
        """
        self.launch()
        return self.wait_until_ready()

    def launch(self) -> None:
        """The first half of `start`: starts the server and does not wait until it is ready."""
        with self._stopped_on_error():
            self._create_folder()
            if self._lock is None:
                self._lock = lock_folder(self.folder / "lock", self._attach, self.name)
            elif self.process is not None:
                stop(self.process, self.stop_signal, self.shutdown_seconds)
            self._launch()

    def wait_until_ready(self) -> str:
        """The second half of `start`: returns the server's URL once it accepts connections."""
        with self._stopped_on_error():
            return self._wait_until_ready()

    def stop(self) -> None:
        """Ends the server. Nothing that it has stored is lost."""
        try:
            if self.process is not None:
                stop(self.process, self.stop_signal, self.shutdown_seconds)
        finally:
            self.process = None
            if self._lock is not None:
                self._forget()
                os.close(self._lock)
                self._lock = None

    @contextmanager
    def _stopped_on_error(self) -> Iterator[None]:
        try:
            yield
        except (OSError, subprocess.SubprocessError) as error:
            self.stop()
            raise start_error(self.name, self.folder, error) from error
        except BaseException:
            self.stop()
            raise

    @abstractmethod
    def _create_folder(self) -> None: ...

    @abstractmethod
    def _attach(self) -> str | None:
        """The URL of the server that already runs on the folder, or None."""

    @abstractmethod
    def _launch(self) -> None:
        """Sets `process`."""

    @abstractmethod
    def _wait_until_ready(self) -> str: ...

    @abstractmethod
    def _forget(self) -> None:
        """Removes what leads others to a server that has ended; the lock is still held."""
