"""The response that is a stream: each event sent as it comes, the silence filled, a reader who stalls given up."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress
from typing import ClassVar

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.viewer import Viewer
from schema.execution.run import SubscriptionEvent, SubscriptionStream, failed_event

log = structlog.get_logger()

SILENCE = 12.0
"""Seconds without an event after which a stream says that it is alive."""
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class Stalled(Exception):  # noqa: N818 (says what is the matter)
    """The client has not read for too long."""


class Streamed(StreamingResponse):
    """Sends the chunks until they end or the client goes away; then, at once, they are closed.

    `patience`: seconds that the client may take to read one. `beat` is what fills the silence. One that is given up, or
    cut off because the server stops, gets no regular end: its client knows that there is more, and comes back.
    `closing` is for what must be closed afterwards, whether or not there was anything to send.
    """

    silence: ClassVar[float] = SILENCE

    def __init__(self, chunks: AsyncGenerator[bytes, None], *, media_type: str, beat: bytes, patience: float) -> None:
        super().__init__((), headers=HEADERS, media_type=media_type)
        self._chunks, self._beat, self._patience = chunks, beat, patience
        self.closing = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.closing:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        self._send, self._sent = send, asyncio.get_running_loop().time()
        async with aclosing(self._chunks) as chunks:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            beating = asyncio.create_task(self._fill())
            try:
                async for chunk in chunks:
                    await self._write(chunk)
            except Stalled:
                # Without a last chunk the server closes the connection.
                log.info("stream.stalled")
                return
            finally:
                beating.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, chunk: bytes) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError:
            raise Stalled from None
        self._sent = asyncio.get_running_loop().time()

    async def _fill(self) -> None:
        """Fills every silence, until it is cancelled. Whether a client that stalls is given up the next event says."""
        clock = asyncio.get_running_loop().time
        while True:
            with suppress(Stalled):
                if (left := self._sent + self.silence - clock()) > 0:
                    await asyncio.sleep(left)
                else:
                    await self._write(self._beat)


async def admitted(stream: SubscriptionStream, viewer: Viewer | None) -> AsyncGenerator[SubscriptionEvent, None]:
    """The events while the viewer's token is good; what ends the stream then is told as its last event."""
    expires = viewer.expires_at if viewer else None
    left = None if expires is None else max(expires - time.time(), 0)
    end = None if left is None else asyncio.get_running_loop().time() + left
    async with aclosing(stream):
        try:
            while True:
                async with asyncio.timeout_at(end):
                    event = await anext(stream, None)
                if event is None:
                    return
                yield event
        except TimeoutError:
            yield failed_event(
                Problem(ErrorCode.UNAUTHENTICATED, "The access token has expired. Come back with a new one.")
            )
