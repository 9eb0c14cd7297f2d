"""`caret serve` as a person meets it: it starts with what it needs, heals, refuses clearly, and leaves nothing."""

import asyncio
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.helpers import CREATE, ask, cut, follow, gone, listen, one_ending, parts, tree, until
from tests.support.clients import Caller
from tests.support.commands import run_process
from tests.support.llm import MODEL, Script, ScriptedModel
from tests.support.servers import ServerProcess, server_process, start_process

VIEWER = "{ viewer { workspace { id name } user { email } apiKey { name } } }"
NOTES = "{ notes(first: 100) { totalCount nodes { title } } }"
# The usual is two; a machine whose cores are lent to others takes longer.
SECONDS = 30.0
"""What "ends promptly" may mean on a busy machine; a reply that runs gets 3 of them."""


def printed(served: ServerProcess, what: str) -> str:
    [line] = [line for line in served.lines if what in line]
    return line.split()[-1]


def key_of(served: ServerProcess) -> str:
    return printed(served, "API key")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def demo(home: Path, llm: ScriptedModel) -> Iterator[ServerProcess]:
    """All that is embedded, two web processes, the demo workspace."""
    with server_process("--workers", "2", data_dir=str(home), llm_base_url=llm.url, llm_model=MODEL) as served:
        yield served


async def test_the_first_start_prints_what_works(demo: ServerProcess) -> None:
    for credential, person in ((key_of(demo), False), (printed(demo, "User token"), True)):
        caller = Caller(demo, credential)
        viewer = (await caller.data(VIEWER))["viewer"]
        assert viewer["workspace"]["name"] == "Demo workspace"
        assert (viewer["user"] is not None) == person
        assert (await caller.data(NOTES))["notes"]["totalCount"] > 0
        assert (await caller.http.get("/v1/notes")).status_code == 200
        await caller.close()


async def test_twenty_subscribers_of_two_processes_receive_the_same_events(
    demo: ServerProcess, llm: ScriptedModel
) -> None:
    llm.on("twenty listen", Script([f"{number} " for number in range(20)], delay=0.05))
    reply = await ask(Caller(demo, key_of(demo)), "twenty listen")
    everyone = await asyncio.gather(*(follow(reply) for _ in range(20)))
    assert len(everyone[0]) == 21
    one_ending(everyone[0])
    assert all(events == everyone[0] for events in everyone)
    await reply.caller.close()


async def test_commands_find_the_running_server(demo: ServerProcess, home: Path) -> None:
    key = await asyncio.to_thread(run_process, "key", "create", "--workspace", "Made by hand", data_dir=str(home))
    email = ("--email", "ada@people.example", "--workspace", "Made by hand", "--role", "admin")
    token = await asyncio.to_thread(run_process, "token", "create", *email, data_dir=str(home))
    for process in (key, token):
        assert (process.returncode, process.stdout.count("\n"), process.stderr) == (0, 1, "")
        caller = Caller(demo, process.stdout.strip())
        assert (await caller.data(VIEWER))["viewer"]["workspace"]["name"] == "Made by hand"
        await caller.close()
    for command in ("migrate", "seed"):
        assert (await asyncio.to_thread(run_process, command, data_dir=str(home))).returncode == 0
    assert (await asyncio.to_thread(run_process, "schema")).stdout.count("type Query") == 1


async def test_a_second_server_is_refused_and_the_first_goes_on(
    demo: ServerProcess, home: Path, tmp_path: Path
) -> None:
    same_folder = await asyncio.to_thread(run_process, "serve", data_dir=str(home), port="0")
    port = demo.url.rpartition(":")[2]
    same_port = await asyncio.to_thread(run_process, "serve", data_dir=str(tmp_path), port=port)
    for refused, reason in ((same_folder, "already runs on"), (same_port, "Address already in use")):
        assert refused.returncode == 1
        *progress, line = refused.stderr.splitlines()
        assert reason in line
        assert all(line_.startswith("caret: starting") for line_ in progress)
    caller = Caller(demo, key_of(demo))
    await caller.data(VIEWER)
    await caller.close()


@pytest.mark.parametrize("part", ["web", "worker"])
async def test_a_killed_process_is_started_again(demo: ServerProcess, part: str) -> None:
    before = parts(demo, part)
    before[0].kill()
    killed = before[0].pid
    await until(lambda: len(now := parts(demo, part)) == len(before) and killed not in [child.pid for child in now])
    caller = Caller(demo, key_of(demo))
    if part == "worker":
        note = (await caller.data(CREATE, t="Indexed by the next worker"))["createNote"]["id"]
        async with asyncio.timeout(30):
            while (
                not (await caller.http.get(f"/v1/notes/{note}")).is_success
                or not (await caller.data("query($id: ID!) { note(id: $id) { chunkCount } }", id=note))["note"][
                    "chunkCount"
                ]
            ):
                await asyncio.sleep(0.05)
    await caller.data(VIEWER)
    await caller.close()


def interrupted(served: ServerProcess) -> None:
    assert served.stop(signal.SIGINT, SECONDS) == 0
    assert not [line for line in served.lines if "Traceback" in line]


def killed(served: ServerProcess) -> None:
    served.process.kill()
    served.process.wait()


def database_lost(served: ServerProcess) -> None:
    [postgres] = [child for child in tree(served.process.pid)[1:] if "-D" in child.cmdline()]
    postgres.kill()
    assert served.process.wait(SECONDS) == 1
    assert "stopped unexpectedly" in served.lines[-1]


SERVE = (sys.executable, "-m", "caret", "serve")
# As on a system where the server's processes are no forks of their supervisor.
SPAWN = (
    sys.executable,
    "-c",
    "from caret import child_process; child_process.CAN_FORK = False; from caret.__main__ import main; main()",
    "serve",
)
# `make serve` itself, but for its set-up.
MAKE = ("make", "--silent", f"BIN={Path(sys.executable).parent}", "--assume-old=.venv/.ready", "serve")


@dataclass
class DataFolder:
    """A data folder that one server after the other uses."""

    folder: Path
    titles: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return DataFolder(tmp_path_factory.mktemp("kept"))


@pytest.mark.parametrize(
    ("command", "end"),
    [
        pytest.param(SERVE, interrupted, id="ctrl-c"),
        pytest.param(SPAWN, interrupted, id="ctrl-c without forks"),
        pytest.param(SERVE, killed, id="the server is killed"),
        pytest.param(
            MAKE,
            killed,
            id="make is killed",
            marks=pytest.mark.skipif(not shutil.which("make"), reason="needs make"),
        ),
        pytest.param(SERVE, database_lost, id="its database is killed"),
    ],
)
async def test_an_end_leaves_no_process_and_all_data(
    data_folder: DataFolder, llm: ScriptedModel, command: tuple[str, ...], end: Callable[[ServerProcess], None]
) -> None:
    """With open subscriptions, an open stream and a reply that the model holds back."""
    llm.on("held at the end", Script(["Never ", *["ending "] * 200], delay=0.2))
    settings = {"data_dir": str(data_folder.folder), "llm_base_url": llm.url, "llm_model": MODEL}
    served = await asyncio.to_thread(start_process, command=command, **settings)
    processes = tree(served.process.pid)
    try:
        caller = Caller(served, key_of(served))
        titles = {note["title"] for note in (await caller.data(NOTES))["notes"]["nodes"]}
        assert {*data_folder.titles} <= titles
        title = f"Made by server {len(data_folder.titles)}"
        await caller.data(CREATE, t=title)
        data_folder.titles.append(title)

        reply = await ask(caller, "held at the end")
        await cut(reply, 1)
        async with caller.socket() as socket:
            events = await socket.start("subscription { workspaceEvents { id } }")
            begun = asyncio.Event(), asyncio.Event()
            stream = asyncio.create_task(listen(reply, hears=begun[0]))
            follower = asyncio.create_task(follow(reply, hears=begun[1]))
            await asyncio.gather(*(event.wait() for event in begun))
            processes = tree(served.process.pid)
            assert len(processes) > 5
            await asyncio.to_thread(end, served)
            assert not gone(processes, SECONDS)
            while (await socket.next(events))["type"] != "closed":
                pass
        await asyncio.wait([stream, follower], timeout=SECONDS)
        assert stream.done()
        assert follower.done()
        if end is interrupted:
            # Who was listening has heard that it is over.
            assert stream.result()[-1][1]["type"] == "error"
        else:
            stream.exception()
        follower.exception()
        await caller.close()
    finally:
        for process in gone(processes, 0):
            process.kill()
