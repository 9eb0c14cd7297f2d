"""A subscriber that does not read is disconnected. It delays no other, and continues with its cursor."""

import asyncio
import json

import websockets
from websockets.asyncio.client import ClientConnection
from websockets.frames import Close

from tests.conftest import Services, Tenant
from tests.faults.helpers import REPLY, Event, ask, follow, one_ending, text
from tests.support.clients import PROTOCOL
from tests.support.llm import Script
from tests.support.servers import running_server

PIECES = [f"{number:05d}" + "x" * 20_000 for number in range(20)]
REPLY_TEXT = "".join(PIECES)
OPERATIONS = 60
"""That many copies of the reply are more than the buffers on both sides of a connection hold."""


async def test_a_websocket_that_is_not_read_is_closed(tenant: Tenant, services: Services) -> None:
    services.llm.on("do not read", Script(PIECES))
    with running_server(**services.settings, follower_patience="5", log_level="info") as server:
        here = await ask(await tenant.user(server=server), "do not read")
        unread = await websockets.connect(server.ws_url, subprotocols=[PROTOCOL], max_queue=1)
        await unread.send(
            json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {here.caller.credential}"}})
        )
        for number in range(OPERATIONS):
            payload = {"query": REPLY, "variables": {"id": here.reply}}
            await unread.send(json.dumps({"type": "subscribe", "id": str(number), "payload": payload}))
        # A subscriber that reads gets all of it meanwhile.
        expected = await follow(here)
        assert (text(expected), one_ending(expected)["message"]["state"]) == (REPLY_TEXT, "DONE")
        async with asyncio.timeout(60):
            while not any("websocket.stalled" in line for line in server.lines):
                await asyncio.sleep(0.05)
        received, close = await read_rest(unread)
        assert (close.code, close.reason) == (1013, "You read too slowly. Come back with your cursor.")
        cut_off = [events for events in received.values() if 0 < len(events) < len(expected)]
        assert cut_off
        assert cut_off[0] + await follow(here, cut_off[0][-1]["cursor"]) == expected


async def read_rest(connection: ClientConnection) -> tuple[dict[str, list[Event]], Close]:
    """The events that are still to be read, by operation, and the close frame."""
    received: dict[str, list[Event]] = {str(number): [] for number in range(OPERATIONS)}
    try:
        while True:
            message = json.loads(await connection.recv())
            if message["type"] == "next":
                received[message["id"]].append(message["payload"]["data"]["reply"])
    except websockets.ConnectionClosed as closed:
        close = closed.rcvd
    assert close is not None
    return received, close
