import asyncio
from contextlib import ExitStack

import click

from caret import demo
from caret.commands.database import database
from caret.embedded.nats import EmbeddedNats, attach
from caret.migrating import migrate
from caret.parts import opened
from caret.settings import Settings


@click.command(help="Make the demo workspace, where the database has no workspace yet.")
def command() -> None:
    settings = Settings.load()
    with ExitStack() as stack:
        url = stack.enter_context(database(settings))
        nats_url = settings.nats_url or attach(settings.data_dir / "nats")
        if nats_url is None:
            nats = EmbeddedNats(settings.data_dir / "nats")
            stack.callback(nats.stop)
            nats_url = nats.start()
        settings = settings.model_copy(update={"database_url": url, "nats_url": nats_url})
        made = asyncio.run(_seed(settings, url))
    click.echo(f"caret: {'made the demo workspace' if made else 'there is a workspace already'}", err=True)


async def _seed(settings: Settings, url: str) -> bool:
    await migrate(url)
    async with opened(settings) as ctx:
        return await demo.seed(ctx, settings.demo_file)
