"""A streaming response: chunks are sent as they come, silence is filled, and a client that stops reading is dropped."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress
from typing import ClassVar

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from models.limits import limit

log = structlog.get_logger()

KEEP_ALIVE_SECONDS = limit(
    10.0,
    "Silence of a stream (server-sent events or multipart)",
    area="Live",
    beyond="a comment or an empty part is sent",
    unit="seconds",
)
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class Stalled(Exception):  # noqa: N818 (it is how a stream ends, not an error of the program)
    """The client has not read for longer than the stall timeout."""


class StreamResponse(StreamingResponse):
    """Sends the chunks until they end or the client leaves, then closes them.

    `keep_alive` is sent whenever nothing else was sent for KEEP_ALIVE_SECONDS. `stall_timeout` is the number of seconds
    that the client may take to read one chunk. A client that stalls gets no regular end of the response, so it knows
    that there is more and reconnects. `closing` is exited afterwards, even if nothing was sent.
    """

    keep_alive_seconds: ClassVar[float] = KEEP_ALIVE_SECONDS

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        *,
        media_type: str,
        keep_alive: bytes,
        stall_timeout: float,
        closing: AsyncExitStack | None = None,
    ) -> None:
        super().__init__((), headers=HEADERS, media_type=media_type)
        self._chunks = chunks
        self._keep_alive = keep_alive
        self._stall_timeout = stall_timeout
        self.closing = closing or AsyncExitStack()

    def last_chunk(self) -> bytes | None:
        """What the client gets when the server stops. Without it the response is cut off, as for a stalled client."""
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.closing:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        self._send, self._sent_at = send, asyncio.get_running_loop().time()
        async with aclosing(self._chunks) as chunks:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            keeping_alive = asyncio.create_task(self._fill_silence())
            try:
                async for chunk in chunks:
                    await self._write(chunk)
            except Stalled:
                # The response has no last chunk, so the server closes the connection.
                log.info("stream.stalled")
                return
            except asyncio.CancelledError:
                # The server stops, or the client has left and does not receive this.
                if (last := self.last_chunk()) is not None:
                    await send({"type": "http.response.body", "body": last, "more_body": False})
                raise
            finally:
                keeping_alive.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, chunk: bytes) -> None:
        try:
            async with asyncio.timeout(self._stall_timeout):
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError:
            raise Stalled from None
        self._sent_at = asyncio.get_running_loop().time()

    async def _fill_silence(self) -> None:
        """Runs until it is cancelled. A stalled client is dropped when the next chunk is written, not here."""
        clock = asyncio.get_running_loop().time
        while True:
            with suppress(Stalled):
                if (left := self._sent_at + self.keep_alive_seconds - clock()) > 0:
                    await asyncio.sleep(left)
                else:
                    await self._write(self._keep_alive)
