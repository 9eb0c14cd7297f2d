"""`caret key`: API keys."""

import asyncio
from collections.abc import Sequence

import click
from sqlalchemy import update
from sqlmodel import col

from caret.commands.database import database, transaction
from caret.migrate import migrate
from caret.settings import Settings
from models import Plan, Workspace
from resolvers.auth import credentials
from resolvers.core.errors import Problem


@click.group(name="key", help="API keys of a workspace.")
def command() -> None:
    pass


@command.command(help="Create an API key and print it. It can't be shown again.")
@click.option("--workspace", required=True, help="Name or id; a workspace of that name is created if there is none.")
@click.option("--name", default="command line", show_default=True, help="The name of the key in lists.")
@click.option("--plan", type=click.Choice([plan.value for plan in Plan]), help="The workspace's plan from now on.")
@click.option("--scope", "scopes", multiple=True, help="Limit the key to this scope; may be given several times.")
def create(workspace: str, name: str, plan: str | None, scopes: Sequence[str]) -> None:
    with database(Settings.load()) as url:
        click.echo(asyncio.run(_create(url, workspace, name, Plan(plan) if plan else None, scopes)))


async def _create(url: str, workspace: str, name: str, plan: Plan | None, scopes: Sequence[str]) -> str:
    await migrate(url)
    async with transaction(url) as tx:
        workspace_id = await credentials.find_workspace(tx, workspace)
        if workspace_id is None:
            workspace_id = await credentials.create_workspace(tx, workspace, plan or Plan.FREE)
        elif plan is not None:
            await tx.execute(update(Workspace).where(col(Workspace.id) == workspace_id).values(plan=plan))
        try:
            return await credentials.create_key(tx, workspace_id, name, scopes or None)
        except Problem as problem:
            raise click.ClickException(problem.message) from problem
