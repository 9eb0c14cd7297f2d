"""The WebSockets of the server: one whose client no longer reads is given up, so that nothing waits for it."""

import asyncio
from typing import ClassVar

import structlog
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

log = structlog.get_logger()

TOO_SLOW = 1013
"""The code that a client is told that did not read for so long ("try again later"): it comes back with its cursor."""
REASON = "You read too slowly. Come back with your cursor."
LINGER = 10.0
"""Seconds in which such a client may still read what was sent before, and this code."""


class PatientSocket(WebSocketsSansIOProtocol):
    """What is sent waits in the connection's buffer of 64 KiB. Once that is full, the client has `patience` seconds to
    read some of it."""

    patience: ClassVar[float] = 30.0

    async def send(self, message: object) -> None:
        # Others waited too, and may have taken the room.
        while not self.writable.is_set():
            await self._room()
        await super().send(message)  # type: ignore[arg-type]  # uvicorn's own type of a message

    async def _room(self) -> None:
        try:
            async with asyncio.timeout(self.patience):
                await self.writable.wait()
        except TimeoutError:
            if not self.close_sent:
                log.info("socket.too_slow", client=str(self.client))
                self._give_up()

    def _give_up(self) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": TOO_SLOW, "reason": REASON})
        self.conn.send_close(TOO_SLOW, REASON)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self.disconnected = True
        # To send on is refused from here. A plain close would wait for the client for ever.
        self.writable.set()
        self.close_timer = self.loop.call_later(LINGER, self.transport.abort)


def with_patience(seconds: float) -> type[PatientSocket]:
    """The protocol of one server, which uvicorn makes an instance of for each connection."""
    return type("PatientSocket", (PatientSocket,), {"patience": seconds})
