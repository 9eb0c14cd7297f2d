"""Servers for the tests: `caret serve` as a process of its own."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SECRET = "a secret of the tests that is long enough to sign with"
ENCRYPTION_KEY = "a2V5IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMgbG9uZyE="
ROOT = Path(__file__).parents[2]
UNLIMITED = "free=1000000,pro=1000000,enterprise=1000000"


@dataclass
class RunningServer:
    """A running `caret serve`: its process, its address, and what it has said."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list)

    @property
    def ws_url(self) -> str:
        return self.url.replace("http://", "ws://") + "/graphql"

    def stop(self, number: signal.Signals = signal.SIGINT, grace: float = 30) -> int:
        self.process.send_signal(number)
        return self.process.wait(grace)


def environment(**settings: str) -> dict[str, str]:
    """This machine's environment without its own settings of Caret and of model providers."""
    foreign = re.compile(r"CARET_|OPENAI_|OPENROUTER_|COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not foreign.match(name)}
    return {**kept, **{f"CARET_{name.upper()}": value for name, value in settings.items()}}


CARET = (sys.executable, "-m", "caret")


def start(*arguments: str, command: Sequence[str] = (*CARET, "serve"), **settings: str) -> RunningServer:
    """Starts `caret serve`, or what starts it, and waits until it has said that it is ready."""
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env=environment(**{"port": "0", "log_level": "warning", **settings}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    served, ready = RunningServer(process, ""), threading.Event()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                served.lines.append(line.rstrip())
                if match := re.search(r"GraphQL\s+(http://\S+)/graphql", line):
                    served.url = match[1]
                if "ready;" in line:
                    ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    if not ready.wait(240) or not served.url or process.poll() is not None:
        process.kill()
        raise AssertionError("caret serve did not start:\n" + "\n".join(served.lines))
    return served


@contextmanager
def server_process(*arguments: str, **settings: str) -> Iterator[RunningServer]:
    served = start(*arguments, **settings)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.stop()
