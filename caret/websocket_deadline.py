"""WebSockets with a deadline for sending: a connection whose client stops reading is closed and holds up nothing."""

import asyncio
from typing import ClassVar

import structlog
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

log = structlog.get_logger()

TRY_AGAIN_LATER = 1013
"""The close code of a connection whose client reads too slowly. The client connects again, with its cursor."""
REASON = "You read too slowly. Come back with your cursor."
LINGER_SECONDS = 10.0
"""For so long such a client may still read what was sent before, and the close code."""


class WebSocketWithDeadline(WebSocketsSansIOProtocol):
    """Messages wait in the connection's buffer of 64 KiB. When it is full, the client has `stall_seconds` to read
    some of it."""

    stall_seconds: ClassVar[float]

    async def send(self, message: object) -> None:
        # Others have waited too, and may have filled the buffer again.
        while not self.writable.is_set():
            await self._wait_for_room()
        await super().send(message)  # type: ignore[arg-type]  # uvicorn's own type of a message

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(self.stall_seconds):
                await self.writable.wait()
        except TimeoutError:
            if not self.close_sent:
                log.info("websocket.stalled", client=str(self.client))
                self._close_stalled()

    def _close_stalled(self) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": TRY_AGAIN_LATER, "reason": REASON})
        self.conn.send_close(TRY_AGAIN_LATER, REASON)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self.disconnected = True
        # Whatever is still sent is refused from here on. A plain close would wait for the client for ever.
        self.writable.set()
        self.close_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)


def with_deadline(stall_seconds: float) -> type[WebSocketWithDeadline]:
    """The protocol class of one server; uvicorn creates an instance of it for each connection."""
    return type("WebSocketWithDeadline", (WebSocketWithDeadline,), {"stall_seconds": stall_seconds})
