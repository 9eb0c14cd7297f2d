"""`caret web`: one web process of `caret serve`."""

import asyncio
import gc
import os
import socket
from math import ceil

import click
import uvicorn

from caret.app import MAX_BODY_BYTES, create_app
from caret.logs import configure
from caret.settings import Settings
from caret.websocket_deadline import with_deadline
from resolvers.core.context import Context

KEEP_ALIVE_SECONDS = 75
"""A connection without a request stays open for so long. Clients and proxies usually close theirs earlier: if the
server closed first, a request on its way would get no response."""


class WebServer(uvicorn.Server):
    """Ends the replies of this process while its connections end: subscribers still receive the terminal events."""

    def __init__(self, config: uvicorn.Config, grace: float) -> None:
        super().__init__(config)
        self._grace = grace

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        context: Context = self.lifespan.state["context"]
        await asyncio.gather(super().shutdown(sockets), context.reply_runner.stop(self._grace))


def create_server(settings: Settings) -> WebServer:
    """The web server of a process. The caller opens the listening socket and configures the logs."""
    config = uvicorn.Config(
        create_app(settings),
        loop="uvloop",
        http="httptools",
        ws=with_deadline(settings.follower_patience),
        ws_max_size=MAX_BODY_BYTES,
        ws_per_message_deflate=False,
        # graphql-transport-ws has its own pings, and a close code after which clients connect again.
        ws_ping_interval=None,
        ws_ping_timeout=None,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        # Longer than the replies take, so that it only cuts off streams of replies that run in other processes.
        timeout_graceful_shutdown=ceil(settings.shutdown_grace) + 2,
    )
    return WebServer(config, settings.shutdown_grace)


@click.command(hidden=True)
@click.option("--fd", type=int, required=True, help="The listening socket, opened by the supervisor.")
def command(fd: int) -> None:
    """One web process of `caret serve`."""
    settings = Settings.load()
    configure(settings.log_level)
    tune_garbage_collector()
    create_server(settings).run(sockets=[socket.socket(fileno=os.dup(fd))])


def tune_garbage_collector() -> None:
    """A full collection would walk every object that the imports have created, and stop all streams for over 200 ms.
    These objects are excluded for good, and the others are collected less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
