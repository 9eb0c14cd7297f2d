import asyncio
import json
import os
import signal
from contextlib import ExitStack

import asyncpg
import click

from caret.embedded.process import die_with_parent
from caret.settings import DEMO_EMAIL, Settings
from caret.supervisor import ServeError, Server, listen, start_servers, watch
from caret.token_issuer import issue
from migrations import HEAD


@click.command(help="Run the server: one command starts all that it needs.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Web processes.")
@click.option("--stop-with-parent", is_flag=True, help="End when the process that started this one ends.")
def command(workers: int, stop_with_parent: bool) -> None:
    if stop_with_parent:
        die_with_parent(signal.SIGTERM, os.getppid())()
    settings = Settings.load()
    try:
        with ExitStack() as stack:
            listener = stack.enter_context(listen(settings.host, settings.port, settings.follower_patience))
            addresses, embedded = start_servers(settings, stack, say)
            url = addresses.get("CARET_DATABASE_URL") or settings.database_url
            server = Server(listener, workers, settings.environment(**addresses), say, settings.shutdown_grace)
            server.run(
                check=lambda: check(settings, server),
                prepare=lambda: prepare(settings, server, str(url)),
                announce=lambda: welcome(settings, server),
                watch=lambda: watch(embedded),
            )
    except ServeError as error:
        raise click.ClickException(str(error)) from error


def check(settings: Settings, server: Server) -> None:
    """Tries what the settings name. What is embedded has just been started, and needs no such look."""
    named = settings.llm_model or settings.llm_fallbacks or settings.models_file
    if settings.database_url or settings.nats_url or named:
        server.once("check")


def prepare(settings: Settings, server: Server, url: str) -> None:
    # To look first is quick; the program that migrates takes a core from the processes that are starting.
    if not asyncio.run(is_current(url)):
        say("migrating the database")
        server.once("migrate")
    if settings.demo and not settings.demo_file.exists():
        server.once("seed")


async def is_current(url: str) -> bool:
    """Whether the database is known to have this program's tables. Where this can't tell, `migrate` will."""
    try:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return [row[0] for row in await connection.fetch("SELECT version_num FROM alembic_version")] == [HEAD]
        finally:
            await connection.close(timeout=5)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError):
        return False


def demo_credentials(settings: Settings) -> list[str]:
    """The demo workspace's key and a fresh token of its user, where this machine made that workspace."""
    secret = settings.signing_secret
    if not settings.demo or secret is None or not settings.demo_file.exists():
        return []
    demo = json.loads(settings.demo_file.read_text())
    audience, issuer = settings.jwt_audience, settings.jwt_issuer
    token = issue(secret, demo["user_id"], DEMO_EMAIL, audience=audience, issuer=issuer)
    return [f"API key     {demo['key']}", f"User token  {token}"]


def welcome(settings: Settings, server: Server) -> None:
    graphql, rest = f"{server.address}/graphql", f"{server.address}/v1 and {server.address}/api/v1/ai"
    lines = [f"GraphQL     {graphql}", f"REST        {rest}", *demo_credentials(settings)]
    click.echo("\n" + "\n".join(f"  {line}" for line in lines) + "\n")
    say("ready; Ctrl-C stops it")


def say(line: str) -> None:
    click.echo(f"caret: {line}", err=True)
