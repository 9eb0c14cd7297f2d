"""`caret serve`: the server, with the embedded Postgres and NATS where none are configured."""

import asyncio
import json
import os
import signal
from contextlib import ExitStack

import asyncpg
import click

from caret.child_process import ServeError, import_program
from caret.cli import run_command
from caret.embedded.process import die_with_parent
from caret.settings import DEMO_EMAIL, Settings
from caret.supervisor import StopSignals, Supervisor, check_servers, launch_servers, listen
from caret.token_issuer import issue
from migrations import HEAD

CONNECT_SECONDS = 5.0


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
            servers = launch_servers(settings, stack, print_status)
            # Most of the start: Postgres and NATS get ready meanwhile.
            import_program()
            addresses = {setting: server.wait_until_ready() for setting, server in servers.items()}
            # Until now a signal ended the process as usual: the waits above look at no flag.
            stop_signals = StopSignals()
            supervisor = Supervisor(
                listener,
                web_processes=workers,
                environment=settings.environment(**addresses),
                run_command=run_command,
                stop_signals=stop_signals,
                reply_grace=settings.shutdown_grace,
                print_status=print_status,
            )
            url = addresses.get("CARET_DATABASE_URL") or settings.database_url
            supervisor.run(
                check=lambda: check(settings, supervisor),
                prepare=lambda: prepare(settings, supervisor, str(url)),
                announce=lambda: announce(settings, supervisor),
                watch=lambda: check_servers([*servers.values()]),
            )
    except ServeError as error:
        raise click.ClickException(str(error)) from error


def check(settings: Settings, supervisor: Supervisor) -> None:
    """Tries the servers and models that the settings name. Embedded ones have just been started and need no check."""
    names_models = settings.llm_model or settings.llm_fallbacks or settings.models_file
    if settings.database_url or settings.nats_url or names_models:
        supervisor.run_once("check")


def prepare(settings: Settings, supervisor: Supervisor, url: str) -> None:
    """Migrates the database and creates the demo workspace, where that is still to be done."""
    if not asyncio.run(is_migrated(url)):
        print_status("migrating the database")
        supervisor.run_once("migrate")
    if settings.demo and not settings.demo_file.exists():
        supervisor.run_once("seed")


async def is_migrated(url: str) -> bool:
    """Whether the database certainly has this program's tables. Where this can't tell, `caret migrate` will."""
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
        try:
            return [row[0] for row in await connection.fetch("SELECT version_num FROM alembic_version")] == [HEAD]
        finally:
            await connection.close(timeout=CONNECT_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError):
        return False


def demo_credentials(settings: Settings) -> list[str]:
    """The demo workspace's key and a fresh token of its user, where this machine has created that workspace."""
    secret = settings.signing_secret
    if not settings.demo or secret is None or not settings.demo_file.exists():
        return []
    demo = json.loads(settings.demo_file.read_text())
    audience, issuer = settings.jwt_audience, settings.jwt_issuer
    token = issue(secret, demo["user_id"], DEMO_EMAIL, audience=audience, issuer=issuer)
    return [f"API key     {demo['key']}", f"User token  {token}"]


def announce(settings: Settings, supervisor: Supervisor) -> None:
    graphql, rest = f"{supervisor.address}/graphql", f"{supervisor.address}/v1 and {supervisor.address}/api/v1/ai"
    lines = [f"GraphQL     {graphql}", f"REST        {rest}", *demo_credentials(settings)]
    click.echo("\n" + "\n".join(f"  {line}" for line in lines) + "\n")
    print_status("ready; Ctrl-C stops it")


def print_status(line: str) -> None:
    click.echo(f"caret: {line}", err=True)
