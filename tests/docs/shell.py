"""The reader's terminal: one bash in which the examples of a page run one after the other."""

import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tests.docs.pages import ROOT

START_TIMEOUT_SECONDS = 60.0


class Shell:
    """A bash of its own process group. Variables and functions last from one command to the next."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._commands = 0
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> "Shell":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def run(self, command: str) -> str:
        """What the command prints, with its errors. Its exit status must be 0."""
        script, output = self._files(command)
        status = self._send(f"source '{script}' > '{output}' 2>&1 < /dev/null; echo $?")
        text = output.read_text()
        assert status == "0", f"exit status {status}:\n{command}\n{text}"
        return text

    def run_in_background(self, command: str) -> Path:
        """Starts the command, and returns the file of its output once something is in there."""
        script, output = self._files(command)
        self._send(f"(source '{script}') > '{output}' 2>&1 < /dev/null & echo 0")
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not output.exists() or not output.stat().st_size:
            assert time.monotonic() < deadline, f"it printed nothing:\n{command}"
            time.sleep(0.05)
        return output

    def _files(self, command: str) -> tuple[Path, Path]:
        self._commands += 1
        script = self._folder / f"{self._commands}.sh"
        script.write_text(command)
        return script, script.with_suffix(".out")

    def _send(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()
