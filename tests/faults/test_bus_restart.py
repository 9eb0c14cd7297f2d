"""The bus is restarted, and has forgotten everything: replies go on, and their followers hear all of them once."""

import asyncio
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from caret.embedded.nats import _binary
from tests.conftest import Services, Tenant
from tests.faults.helpers import Asked, Event, ask, cut, follow, listen, one_ending, text
from tests.support.llm import Script
from tests.support.servers import RunningServer, running_server


@dataclass
class Nats:
    """A server that comes back at the same address."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.folder / "nats.conf"
        config.write_text("max_payload: 4MB\n")  # the longest event of a reply must fit
        address = ["-a", "127.0.0.1", "-p", str(self.port)]
        command = [str(_binary()), "-c", str(config), *address, "-js", "-sd", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nats = Nats(tmp_path_factory.mktemp("bus"), port)
    nats.start()
    yield nats
    nats.stop()


@pytest.fixture(scope="module")
def two(services: Services, bus: Nats) -> Iterator[tuple[RunningServer, RunningServer]]:
    settings = {**services.settings, "nats_url": bus.url}
    with running_server(**settings) as one, running_server(**settings) as other:
        yield one, other


async def away(reply: Asked, *, connected: bool) -> None:
    """Waits until the servers have noticed that the bus has gone, or is back."""
    async with asyncio.timeout(30):
        while (await reply.caller.http.get("/health/ready")).json()["checks"]["bus"] is not connected:
            await asyncio.sleep(0.05)


async def test_a_restart_while_a_reply_streams_loses_no_event(
    tenant: Tenant, services: Services, bus: Nats, two: tuple[RunningServer, RunningServer]
) -> None:
    gate = threading.Event()
    services.llm.on("restart the bus", Script(["Before ", "and ", "after."], gate=gate))
    here = await ask(await tenant.user(server=two[0]), "restart the bus")
    there = here.at(tenant, two[1])
    hearing = [asyncio.Event(), asyncio.Event()]
    followers = [
        asyncio.create_task(follow(reply, hears=hears)) for reply, hears in zip((here, there), hearing, strict=True)
    ]
    for hears in hearing:
        await hears.wait()
    bus.stop()
    for reply in (here, there):
        await away(reply, connected=False)
    bus.start()
    for reply in (here, there):
        await away(reply, connected=True)
    # Who comes now, or comes back, hears what the bus had forgotten.
    [first] = await cut(there, 1)
    late = asyncio.create_task(follow(there))
    back = asyncio.create_task(follow(there, first["cursor"]))
    gate.set()
    received: list[list[Event]] = await asyncio.gather(*followers, late)
    assert text(received[0]) == "Before and after."
    assert one_ending(received[0])["message"] == {"content": "Before and after.", "state": "DONE"}
    assert received == [received[0]] * 3
    assert await back == received[0][1:]


async def test_a_reply_that_ends_without_the_bus(
    tenant: Tenant, services: Services, bus: Nats, two: tuple[RunningServer, RunningServer]
) -> None:
    gate = threading.Event()
    services.llm.on("lose the bus", Script(["Said ", "alone."], gate=gate))
    here = await ask(await tenant.user(server=two[0]), "lose the bus")
    there = here.at(tenant, two[1])
    hears = asyncio.Event()
    follower = asyncio.create_task(follow(there, hears=hears))
    await hears.wait()
    bus.stop()
    try:
        for reply in (here, there):
            await away(reply, connected=False)
        gate.set()
        all_events = await follow(here)
        assert text(all_events) == "Said alone."
        # Elsewhere the row tells how it ended.
        assert one_ending(await follower)["message"] == {"content": "Said alone.", "state": "DONE"}
        assert one_ending(await follow(there))["message"] == {"content": "Said alone.", "state": "DONE"}
        *_, (_, end) = await listen(there)
        assert (end["type"], end["content"]) == ("done", "Said alone.")
    finally:
        bus.start()
        for reply in (here, there):
            await away(reply, connected=True)
