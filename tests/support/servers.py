"""Running servers. `running_server` runs one in this process: the app, the uvicorn configuration and the chores of
`caret serve`, on a real socket and in a thread with an event loop of its own. `server_process` runs `caret serve`
itself, for tests that kill or signal it, look at its processes, or need what only the command does (migrations, the
demo workspace, several web processes)."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from caret import worker
from caret.commands.web import create_server
from caret.settings import Settings
from caret.supervisor import is_ready, listen
from caret.wiring import open_context
from resolvers.core.context import Context
from resolvers.events.feed import ProcessEventFeeds
from tests.support.server_logs import collect

SECRET = "a secret of the tests that is long enough to sign with"
ENCRYPTION_KEY = "a2V5IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMgbG9uZyE="
ROOT = Path(__file__).parents[2]
UNLIMITED = "free=1000000,pro=1000000,enterprise=1000000"
START_TIMEOUT_SECONDS = 120
"""Far beyond what a start takes, so that it fails only where a server never starts."""
STOP_TIMEOUT_SECONDS = 60
CARET = (sys.executable, "-m", "caret")


@dataclass
class RunningServer:
    """A server: its address, and the lines that it has logged or printed."""

    url: str
    lines: list[str] = field(default_factory=list)

    @property
    def ws_url(self) -> str:
        return self.url.replace("http://", "ws://") + "/graphql"


@dataclass
class ServerProcess(RunningServer):
    """A running `caret serve`."""

    process: subprocess.Popen[str] = field(kw_only=True)

    def stop(self, number: signal.Signals = signal.SIGINT, grace: float = STOP_TIMEOUT_SECONDS) -> int:
        self.process.send_signal(number)
        return self.process.wait(grace)


class ServerThread(RunningServer):
    """A server in this process. It is ready once this is made."""

    def __init__(self, settings: Settings, name: str) -> None:
        listener = listen(settings.host, settings.port, settings.follower_patience)
        host, port = listener.getsockname()[:2]
        super().__init__(f"http://{host}:{port}")
        self._settings = settings
        self._listener = listener
        self._web = create_server(settings)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not is_ready(self.url):
            if not self._thread.is_alive() or time.monotonic() > deadline:
                listener.close()
                raise AssertionError("the server did not start:\n" + "\n".join(self.lines))
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends the server as a signal does: replies get their grace, and whoever listens hears of the end."""
        self._web.should_exit = True
        self._thread.join(STOP_TIMEOUT_SECONDS)
        assert not self._thread.is_alive(), "the server did not end:\n" + "\n".join(self.lines)

    def _run(self) -> None:
        with (
            collect(self.lines, self._settings.log_level),
            asyncio.Runner(loop_factory=self._web.config.get_loop_factory()) as runner,
        ):
            runner.run(self._serve())

    async def _serve(self) -> None:
        chores = asyncio.create_task(self._run_chores())
        try:
            await self._web.serve(sockets=[self._listener])
        finally:
            chores.cancel()
            with suppress(asyncio.CancelledError):
                await chores

    def count_subscriptions(self) -> int:
        """How many subscriptions to events this server has."""
        context: Context = self._web.lifespan.state["context"]
        feeds = context.event_feeds
        assert isinstance(feeds, ProcessEventFeeds)
        return sum(sum(list(feed.subscribers.values())) for feed, _ in list(feeds._feeds.values()))

    async def _run_chores(self) -> None:
        """What `caret worker` does, with a context of its own."""
        async with open_context(self._settings) as context:
            await worker.run(context)


def environment(**settings: str) -> dict[str, str]:
    """This machine's environment without its own settings of Caret and of model providers."""
    foreign = re.compile(r"CARET_|OPENAI_|OPENROUTER_|COVERAGE_")
    own = {name: value for name, value in os.environ.items() if not foreign.match(name)}
    return {**own, **{f"CARET_{name.upper()}": value for name, value in settings.items()}}


def settings_of(**settings: str) -> Settings:
    """What a process with these settings in its environment reads there."""
    with mock.patch.dict(os.environ, environment(**settings), clear=True):
        return Settings.load()


@contextmanager
def running_server(**settings: str) -> Iterator[ServerThread]:
    """A server in this process, on a migrated database."""
    with tempfile.TemporaryDirectory(prefix="caret-server-") as folder:
        defaults = {"port": "0", "log_level": "warning", "data_dir": folder}
        server = ServerThread(settings_of(**{**defaults, **settings}), "caret server")
        try:
            yield server
        finally:
            server.stop()


def start_process(*arguments: str, command: Sequence[str] = (*CARET, "serve"), **settings: str) -> ServerProcess:
    """Starts `caret serve`, or what starts it, and waits until it has printed that it is ready."""
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env=environment(**{"port": "0", "log_level": "warning", **settings}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server, ready = ServerProcess("", process=process), threading.Event()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                server.lines.append(line.rstrip())
                if match := re.search(r"GraphQL\s+(http://\S+)/graphql", line):
                    server.url = match[1]
                if "ready;" in line:
                    ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    if not ready.wait(START_TIMEOUT_SECONDS) or not server.url or process.poll() is not None:
        process.kill()
        raise AssertionError("caret serve did not start:\n" + "\n".join(server.lines))
    return server


@contextmanager
def server_process(*arguments: str, **settings: str) -> Iterator[ServerProcess]:
    with tempfile.TemporaryDirectory(prefix="caret-server-") as folder:
        server = start_process(*arguments, **{"data_dir": folder, **settings})
        try:
            yield server
        finally:
            if server.process.poll() is None:
                server.stop()
