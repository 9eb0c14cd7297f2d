"""A NATS server whose `max_payload` is too small for a long reply is refused at the start."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from caret.adapters.nats_bus import MIN_PAYLOAD_BYTES, NatsBus
from caret.embedded import nats
from caret.embedded.nats import EmbeddedNats
from caret.settings import SettingsError
from models.base import new_id
from models.conversation import MAX_REPLY
from resolvers.replies import ReplyEvent
from tests.conftest import Services
from tests.support.servers import CARET, environment

StartNats = Callable[[int], str]


@pytest.fixture
def start_nats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartNats]:
    """Starts a real NATS server that takes messages of so many bytes; returns its URL."""
    server, config = EmbeddedNats(tmp_path / "nats"), nats._config

    def start(max_payload: int) -> str:
        def changed(home: Path, token: str) -> str:
            settings: dict[str, Any] = json.loads(config(home, token))
            return json.dumps({**settings, "max_payload": max_payload})

        monkeypatch.setattr(nats, "_config", changed)
        return server.start()

    yield start
    server.stop()


@pytest.mark.parametrize("enter", [NatsBus.reach, NatsBus.connect])
async def test_a_server_that_takes_only_short_messages_is_refused(
    start_nats: StartNats, enter: Callable[[str], Any]
) -> None:
    url = start_nats(65_536)
    with pytest.raises(SettingsError) as refused:
        await enter(url)
    assert str(refused.value) == (
        "CARET_NATS_URL: this server takes messages of at most 65,536 bytes, a long reply needs 3,065,536: "
        "set `max_payload` in its configuration to 4MB or more."
    )


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_commands_report_it_in_one_line(
    start_nats: StartNats, services: Services, tmp_path: Path, command: str
) -> None:
    settings = {**services.settings, "nats_url": start_nats(1_000_000), "data_dir": str(tmp_path / "data"), "port": "0"}
    run = await asyncio.to_thread(
        subprocess.run, [*CARET, command], env=environment(**settings), capture_output=True, timeout=120, check=False
    )
    assert run.returncode == 1
    last = run.stderr.decode().splitlines()[-1]
    assert last.startswith("caret: CARET_NATS_URL: this server takes messages of at most 1,000,000 bytes"), run.stderr


async def test_the_longest_reply_passes_through_the_smallest_server(start_nats: StartNats) -> None:
    """Control characters take most bytes as JSON."""
    bus = await NatsBus.connect(start_nats(MIN_PAYLOAD_BYTES))
    try:
        message_id = new_id()
        event = ReplyEvent(1_000_000, "done", message_id, content="\x01" * MAX_REPLY)
        async with bus.subscribe_reply(message_id) as feed:
            await bus.publish_reply(message_id, event.encode(), last=True)
            received = await feed.next(60)
        assert received is not None
        assert ReplyEvent.decode(received) == event
    finally:
        await bus.close()
