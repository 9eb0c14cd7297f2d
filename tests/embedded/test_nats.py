import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import pytest

from caret.embedded.folder import AlreadyRunningError
from caret.embedded.nats import EmbeddedNats, attach

from .helpers import NATS, command_lines, eventually, first_line, is_zombie, living, owner

Server = Callable[[Path], EmbeddedNats]


@pytest.fixture
def server() -> Iterator[Server]:
    servers: list[EmbeddedNats] = []

    def make(folder: Path) -> EmbeddedNats:
        servers.append(EmbeddedNats(folder))
        return servers[-1]

    yield make
    for one in servers:
        one.stop()


def stored_messages(url: str) -> int:
    """Adds a message to a stream on disk and counts them."""

    async def run() -> int:
        client = await nats.connect(url)
        try:
            stream = client.jetstream()
            await stream.add_stream(name="kept", subjects=["kept"])
            await stream.publish("kept", b"one")
            return (await stream.stream_info("kept")).state.messages
        finally:
            await client.close()

    return asyncio.run(run())


def test_jetstream_survives_a_restart(folder: Path, server: Server) -> None:
    one = server(folder)
    url = one.start()
    assert stored_messages(url) == 1
    assert attach(folder) == url
    token = url.removeprefix("nats://").split("@")[0]
    assert token not in command_lines()
    for name in ("url", "nats.conf"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    one.stop()
    assert living(folder) == []
    assert attach(folder) is None
    again = one.start()
    assert again != url
    assert stored_messages(again) == 2


def test_wrong_token_is_refused(folder: Path, server: Server) -> None:
    # By hand: nats-py leaves its socket open after a refusal.
    port = int(server(folder).start().rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b'CONNECT {"auth_token":"wrong"}\r\nPING\r\n')
        stream = connection.makefile("rb")
        with stream:
            assert b'"auth_required":true' in stream.readline()
            assert b"Authorization Violation" in stream.readline()


def test_killed_parent_leaves_nothing(folder: Path, server: Server) -> None:
    with owner(NATS, folder) as process:
        assert stored_messages(first_line(process)) == 1
        process.kill()
    assert stored_messages(server(folder).start()) == 2
    with owner(NATS, folder) as process:
        assert first_line(process).startswith("taken")


def test_two_starters(folder: Path) -> None:
    with owner(NATS, folder) as one, owner(NATS, folder) as other:
        first, second = sorted([first_line(one), first_line(other)])
        assert second == f"taken {first}"
    eventually(lambda: living(folder) == [])


def test_second_server_in_one_process(folder: Path, server: Server) -> None:
    url = server(folder).start()
    with pytest.raises(AlreadyRunningError) as caught:
        server(folder).start()
    assert caught.value.url == url


def test_killed_server_is_not_attached(folder: Path, server: Server) -> None:
    one = server(folder)
    one.start()
    assert one.process is not None
    one.process.kill()
    pid = one.process.pid
    eventually(lambda: is_zombie(pid))
    assert (folder / "url").exists()
    assert attach(folder) is None
    assert stored_messages(one.start()) == 1


def test_another_server_on_the_port(folder: Path, server: Server) -> None:
    port = server(folder).start().rpartition(":")[2]
    stranger = folder.parent / "stranger"
    stranger.mkdir()
    (stranger / "url").write_text(f"nats://another@127.0.0.1:{port}\n")
    assert attach(stranger) is None
    (stranger / "pid").write_text(f"{os.getpid()}\n")
    assert stored_messages(server(stranger).start()) == 1
