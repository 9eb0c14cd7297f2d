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

KEEP_ALIVE = 75
"""Seconds that a connection without a request is kept. Longer than clients and proxies usually keep theirs: who closes
first must not be the server, or a request that is on its way meanwhile gets no answer."""


class Server(uvicorn.Server):
    """Ends the replies of this process while its connections end: whoever follows one still hears how it ended."""

    def __init__(self, config: uvicorn.Config, grace: float) -> None:
        super().__init__(config)
        self._grace = grace

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        context: Context = self.lifespan.state["context"]
        await asyncio.gather(super().shutdown(sockets), context.reply_runner.stop(self._grace))


def create_server(settings: Settings) -> Server:
    """The web server of a process, for a listening socket that the caller opens; the logs are the caller's as well."""
    config = uvicorn.Config(
        create_app(settings),
        loop="uvloop",
        http="httptools",
        ws=with_deadline(settings.follower_patience),
        ws_max_size=MAX_BODY_BYTES,
        ws_per_message_deflate=False,
        # graphql-transport-ws has pings of its own, whose silence is answered with a code that clients come back from.
        ws_ping_interval=None,
        ws_ping_timeout=None,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        # Longer than the replies take, so that it cuts off only the streams of replies that run elsewhere.
        timeout_graceful_shutdown=ceil(settings.shutdown_grace) + 2,
    )
    return Server(config, settings.shutdown_grace)


@click.command(hidden=True)
@click.option("--fd", type=int, required=True, help="The listening socket, opened by the supervisor.")
def command(fd: int) -> None:
    """One web process of `caret serve`."""
    settings = Settings.load()
    configure(settings.log_level)
    calm_the_collector()
    create_server(settings).run(sockets=[socket.socket(fileno=os.dup(fd))])


def calm_the_collector() -> None:
    """A full collection walks every object that the imports left, over 200 ms of standstill for all streams: those
    are set aside for good, and what is left is looked through less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
