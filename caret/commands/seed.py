"""`caret seed`: the demo workspace."""

import asyncio

import click

from caret import demo
from caret.commands.database import servers
from caret.migrate import migrate
from caret.settings import Settings
from caret.wiring import open_context


@click.command(help="Create the demo workspace, unless the database has a workspace already.")
def command() -> None:
    with servers(Settings.load()) as settings:
        is_created = asyncio.run(_seed(settings))
    click.echo(f"caret: {'made the demo workspace' if is_created else 'there is a workspace already'}", err=True)


async def _seed(settings: Settings) -> bool:
    await migrate(str(settings.database_url))
    async with open_context(settings) as ctx:
        return await demo.seed(ctx, settings.demo_file)
