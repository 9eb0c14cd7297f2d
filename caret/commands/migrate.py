"""`caret migrate`: the tables of the database."""

import asyncio

import click

from caret.commands.database import database
from caret.migrate import migrate
from caret.settings import Settings


@click.command(help="Migrate the database to this program's tables.")
@click.option("--to", "revision", default="head", show_default=True, help="A revision, or base to remove everything.")
def command(revision: str) -> None:
    with database(Settings.load()) as url:
        asyncio.run(migrate(url, revision))
