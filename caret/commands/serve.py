import os
import signal
from contextlib import ExitStack

import click

from caret.embedded.process import die_with_parent
from caret.serve import ServeError, Server, listen, start_servers
from caret.settings import DEMO_EMAIL, Settings


@click.command(help="Run the server: one command starts all that it needs.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Web processes.")
@click.option("--stop-with-parent", is_flag=True, help="End when the process that started this one ends.")
def command(workers: int, stop_with_parent: bool) -> None:
    if stop_with_parent:
        die_with_parent(signal.SIGTERM, os.getppid())()
    settings = Settings.load()
    try:
        with ExitStack() as stack:
            listener = stack.enter_context(listen(settings.host, settings.port))
            environment = settings.environment(**start_servers(settings, stack, say))
            server = Server(listener, workers, environment, say)
            shown: list[str] = []
            server.run(lambda started: prepare(settings, started, shown), lambda address: welcome(address, shown))
    except ServeError as error:
        raise click.ClickException(str(error)) from error


def prepare(settings: Settings, server: Server, shown: list[str]) -> None:
    say("migrating the database")
    server.once("migrate")
    if not settings.demo or settings.signing_secret is None:
        return
    if not settings.demo_key_file.exists():
        server.once("seed")
    if settings.demo_key_file.exists():
        token = server.once("token", "create", "--email", DEMO_EMAIL)
        shown += [f"API key     {settings.demo_key_file.read_text().strip()}", f"User token  {token}"]


def welcome(address: str, shown: list[str]) -> None:
    lines = [f"GraphQL     {address}/graphql", f"REST        {address}/v1 and {address}/api/v1/ai", *shown]
    click.echo("\n" + "\n".join(f"  {line}" for line in lines) + "\n")
    say("ready; Ctrl-C stops it")


def say(line: str) -> None:
    click.echo(f"caret: {line}", err=True)
