"""The `caret` command and how its sub-commands are loaded."""

import sys
from collections.abc import Sequence

import click

from caret.embedded.folder import EmbeddedError
from caret.lazy import import_for_start
from caret.settings import SettingsError

COMMANDS = ("serve", "worker", "migrate", "schema", "seed", "reindex", "key", "token")
HIDDEN_COMMANDS = ("check", "docs", "web")
"""What `caret serve` runs for itself, and `make docs`."""


class Commands(click.Group):
    """Imports a command's module when it is called: `serve` must not wait for what only others need."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (the base's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (as above)
        if cmd_name not in {*COMMANDS, *HIDDEN_COMMANDS}:
            return None
        command: click.Command = import_for_start(f"caret.commands.{cmd_name}").command
        return command


@click.group(cls=Commands, help="Caret: meeting notes, conversations and search as a GraphQL API.")
@click.version_option(package_name="caret")
def cli() -> None:
    pass


def run_command(arguments: Sequence[str] | None = None) -> None:
    """Runs the command that the arguments name, by default those of the process. Ends with SystemExit."""
    try:
        cli(arguments)
    except (SettingsError, EmbeddedError) as error:
        click.echo(f"caret: {error}", err=True)
        sys.exit(1)
