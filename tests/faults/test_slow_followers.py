"""A follower that does not read is given up after a while; it slows nobody else, and comes back with its cursor."""

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
WHOLE = "".join(PIECES)
OPERATIONS = 60
"""So many times the whole reply is more than the buffers of a connection hold, on both of its sides."""


async def test_a_socket_that_is_not_read(tenant: Tenant, services: Services) -> None:
    services.llm.on("do not read", Script(PIECES))
    with running_server(**services.settings, follower_patience="1") as server:
        here = await ask(await tenant.user(server=server), "do not read")
        slow = await websockets.connect(server.ws_url, subprotocols=[PROTOCOL], max_queue=1)
        await slow.send(
            json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {here.caller.credential}"}})
        )
        for number in range(OPERATIONS):
            payload = {"query": REPLY, "variables": {"id": here.reply}}
            await slow.send(json.dumps({"type": "subscribe", "id": str(number), "payload": payload}))
        # Whoever reads hears all of it meanwhile.
        told = await follow(here)
        assert (text(told), one_ending(told)["message"]["state"]) == (WHOLE, "DONE")
        await asyncio.sleep(2)
        heard, close = await rest_of(slow)
        assert (close.code, close.reason) == (1013, "You read too slowly. Come back with your cursor.")
        cut_off = [events for events in heard.values() if 0 < len(events) < len(told)]
        assert cut_off
        assert cut_off[0] + await follow(here, cut_off[0][-1]["cursor"]) == told


async def rest_of(connection: ClientConnection) -> tuple[dict[str, list[Event]], Close]:
    """What is still to be read, by operation, and the server's last word."""
    heard: dict[str, list[Event]] = {str(number): [] for number in range(OPERATIONS)}
    try:
        while True:
            message = json.loads(await connection.recv())
            if message["type"] == "next":
                heard[message["id"]].append(message["payload"]["data"]["reply"])
    except websockets.ConnectionClosed as closed:
        last = closed.rcvd
    assert last is not None
    return heard, last
