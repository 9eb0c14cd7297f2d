"""`caret token`: access tokens of users."""

import asyncio
from uuid import UUID

import click

from caret.commands.database import database, transaction
from caret.migrate import migrate
from caret.settings import Settings
from caret.token_issuer import issue
from models import Role
from models.base import new_id
from resolvers.auth import credentials


@click.group(name="token", help="Access tokens of users.")
def command() -> None:
    pass


@command.command(help="Create an access token for a user and print it. It is valid for 30 days.")
@click.option("--email", required=True, help="The user's email address; the user is created if there is none.")
@click.option("--workspace", help="Name or id of a workspace that the user joins; it is created if there is none.")
@click.option("--role", type=click.Choice([role.value for role in Role]), default=Role.MEMBER.value, show_default=True)
def create(email: str, workspace: str | None, role: str) -> None:
    settings = Settings.load()
    secret = settings.signing_secret
    if secret is None:
        raise click.ClickException(
            "tokens come from the issuer of CARET_JWKS_URL; to create some here set CARET_JWT_SECRET"
        )
    if "@" not in email:
        raise click.ClickException("--email: this is not an email address")
    with database(settings) as url:
        user_id = asyncio.run(_user(url, email, workspace, Role(role)))
    audience, issuer = settings.jwt_audience, settings.jwt_issuer
    click.echo(issue(secret, user_id, email, audience=audience, issuer=issuer))


async def _user(url: str, email: str, workspace: str | None, role: Role) -> UUID:
    """The id of the user with that address, as a member of the workspace; both are created if there are none."""
    await migrate(url)
    async with transaction(url) as tx:
        user_id = await credentials.find_user(tx, email)
        if user_id is None:
            user_id = new_id()
            await credentials.ensure_user(tx, user_id, email, None)
        if workspace is not None:
            workspace_id = await credentials.find_workspace(tx, workspace)
            if workspace_id is None:
                workspace_id = await credentials.create_workspace(tx, workspace)
            await credentials.add_member(tx, workspace_id, user_id, role)
    return user_id
