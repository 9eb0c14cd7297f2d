"""`caret worker`: background work."""

import asyncio
import os
import signal

import click
import structlog

from caret import worker
from caret.logs import configure
from caret.settings import Settings
from caret.wiring import open_context

NICENESS = 5
"""Of background work: on a busy processor a worker gets a third of what a web process gets. At 10 it would be a tenth,
and new notes would appear late in searches."""


@click.command(help="Run background work: indexing, recordings, webhooks, clean-up. Needs both addresses.")
def command() -> None:
    settings = Settings.load()
    if settings.database_url is None or settings.nats_url is None:
        raise click.ClickException("set CARET_DATABASE_URL and CARET_NATS_URL: a worker joins a server that runs")
    configure(settings.log_level)
    os.nice(NICENESS)
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    async with open_context(settings) as ctx:
        work = asyncio.create_task(worker.run(ctx))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        try:
            await work
        except asyncio.CancelledError:
            structlog.get_logger().info("worker.stopped")
